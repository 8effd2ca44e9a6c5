#include "guest/io/command_line.hpp"

#include <cstddef>

#include "guest/io/console.hpp"

namespace guest {
namespace {

/// A cursor over one option's text.
class Word {
 public:
  Word(const char* begin, const char* end) : cursor_(begin), end_(end) {}

  bool at_end() const { return cursor_ == end_; }

  bool skip(const char* prefix) {
    const char* cursor = cursor_;
    for (; *prefix != '\0'; ++prefix, ++cursor) {
      if (cursor == end_ || *cursor != *prefix) return false;
    }
    cursor_ = cursor;
    return true;
  }

  bool is(const char* text) {
    Word copy = *this;
    return copy.skip(text) && copy.at_end();
  }

  bool number(std::uint64_t& value, std::uint64_t least, std::uint64_t most) {
    std::uint64_t result = 0;
    const char* begin = cursor_;
    for (; cursor_ != end_ && *cursor_ >= '0' && *cursor_ <= '9'; ++cursor_) {
      result = result * 10 + static_cast<std::uint64_t>(*cursor_ - '0');
      if (result > most) return false;
    }
    if (cursor_ == begin || result < least) return false;
    value = result;
    return true;
  }

  bool last_number(std::uint64_t& value, std::uint64_t least, std::uint64_t most) {
    return number(value, least, most) && at_end();
  }

 private:
  const char* cursor_;
  const char* end_;
};

constexpr std::uint64_t kMostMib = 512 * 1024;
constexpr std::uint64_t kPagesPerMib = 256;
constexpr std::uint64_t kMostRate = 100'000'000;
constexpr std::uint64_t kMostMs = 1'000'000'000;

bool parse_skew(Options& options, Word word) {
  if (word.is("uniform")) return true;
  return word.number(options.dirty.skew_writes_percent, 0, 100) && word.skip("/") &&
         word.last_number(options.dirty.skew_pages_percent, 1, 100);
}

bool parse_burst(Options& options, Word word) {
  return word.number(options.dirty.busy_ms, 1, kMostMs) && word.skip("/") &&
         word.last_number(options.dirty.quiet_ms, 1, kMostMs);
}

bool parse_touch(Options& options, Word word) {
  struct Form {
    const char* name;
    TouchOrder order;
  };
  constexpr Form kForms[] = {{"sequential", TouchOrder::sequential},
                             {"backward", TouchOrder::backward},
                             {"uniform", TouchOrder::uniform},
                             {"skew", TouchOrder::skew}};
  for (const Form& form : kForms) {
    if (!word.is(form.name)) continue;
    options.touch.order = form.order;
    return true;
  }
  return false;
}

bool parse_touch_hot(Options& options, Word word) {
  return word.number(options.touch.hot_percent, 0, 100) && word.skip("/") &&
         word.last_number(options.touch.hot_parts, 1, 1'000'000);
}

bool parse_end(Options& options, Word word) {
  if (word.is("byte")) return options.end_on_byte = true;
  if (word.skip("ms:")) return word.last_number(options.end_after_ms, 1, kMostMs);
  return word.skip("ticks:") && word.last_number(options.end_after_ticks, 1, kMostMs);
}

bool parse_flag(Options& options, Word word) {
  if (word.is("check")) return options.check = true;
  if (word.is("regs")) return options.registers = true;
  if (word.is("echo")) return options.echo = true;
  if (word.is("irq")) return options.receive_interrupts = true;
  if (word.is("rng")) return options.entropy = true;
  if (word.is("net-counts")) return options.counts_frames = true;
  if (word.is("touch-endless")) return options.touch.endless = true;
  if (word.is("dirty-block")) return options.dirty.block = true;
  if (word.is("spin")) return options.spin = true;
  return false;
}

bool parse_word(Options& options, Word word) {
  if (parse_flag(options, word)) return true;
  if (word.skip("tick=")) return word.last_number(options.tick_ms, 1, kMostMs);
  if (word.skip("timer=")) return word.last_number(options.timer_hz, 1, 10'000);
  if (word.skip("fill=")) return word.last_number(options.fill_mib, 1, kMostMib);
  if (word.skip("zero=")) return word.last_number(options.zero_percent, 0, 100);
  if (word.skip("copies=")) return word.last_number(options.copies_percent, 0, 100);
  if (word.skip("random=")) return word.last_number(options.random_percent, 0, 100);
  if (word.skip("text=")) return word.last_number(options.text_percent, 0, 100);
  if (word.skip("dirty=")) return word.last_number(options.dirty.writes_per_second, 1, kMostRate);
  if (word.skip("ws=")) return word.last_number(options.dirty.working_set_mib, 1, kMostMib);
  if (word.skip("ws-at=")) return word.last_number(options.dirty.working_set_at, 0, 99);
  if (word.skip("skew=")) return parse_skew(options, word);
  if (word.skip("burst=")) return parse_burst(options, word);
  if (word.skip("touch=")) return parse_touch(options, word);
  if (word.skip("touch-rate=")) {
    return word.last_number(options.touch.per_second, 0, kMostRate);
  }
  if (word.skip("touch-hot=")) return parse_touch_hot(options, word);
  if (word.skip("change=")) {
    return word.last_number(options.change_pages, 1, kMostMib * kPagesPerMib);
  }
  if (word.skip("disk=")) return word.last_number(options.disk_blocks, 1, kMostMib * kPagesPerMib);
  if (word.skip("disk-reads=")) return word.last_number(options.disk_reads, 1, 32);
  if (word.skip("disk-kib=")) return word.last_number(options.disk_read_kib, 4, 1024);
  if (word.skip("hints=")) return word.last_number(options.hints_mib, 1, kMostMib);
  if (word.skip("net=")) return word.last_number(options.frames_per_second, 1, 1'000'000);
  if (word.skip("net-sends=")) return word.last_number(options.frame_bytes, 60, 1514);
  if (word.skip("check=")) {
    options.check = true;
    return word.last_number(options.check_pages_per_second, 1, kMostRate);
  }
  if (word.skip("end=")) return parse_end(options, word);
  return false;
}

[[noreturn]] void refuse(const char* why) {
  fail(ExitCode::bad_options, Line() << "options " << why);
}

void require_consistency(const Options& options) {
  if (options.zero_percent + options.random_percent + options.text_percent != 100) {
    refuse("zero, random and text must add up to 100");
  }
  const bool writes = options.dirty.writes_per_second != 0 || options.change_pages != 0;
  if (options.fill_mib == 0 && (writes || options.check || options.touch.wanted())) {
    refuse("dirty, touch, change and check need fill");
  }
  if (options.dirty.writes_per_second != 0 && options.zero_percent == 100) {
    refuse("dirty needs pages that are not zero");
  }
  if (options.dirty.quiet_ms != 0 && options.dirty.writes_per_second == 0) {
    refuse("burst needs dirty");
  }
  if (options.disk_reads != 0 && options.disk_blocks * 4 < options.disk_read_kib) {
    refuse("disk-reads needs a disk of at least disk-kib");
  }
  if ((options.frames_per_second != 0) + (options.frame_bytes != 0) + options.counts_frames > 1) {
    refuse("only one of net, net-sends and net-counts");
  }
  if (options.dirty.working_set_mib > options.fill_mib) refuse("ws must not exceed fill");
  if (options.end_after_ticks != 0 && options.tick_ms == 0) refuse("end=ticks needs tick");
}

}  // namespace

Options parse_command_line(const char* text) {
  Options options;
  for (;;) {
    while (*text == ' ' || *text == '\n') ++text;
    if (*text == '\0') break;
    const char* begin = text;
    while (*text != '\0' && *text != ' ' && *text != '\n') ++text;
    if (!parse_word(options, Word(begin, text))) {
      Line line;
      line << "option ";
      line.append(begin, static_cast<std::size_t>(text - begin));
      fail(ExitCode::bad_options, line);
    }
  }
  require_consistency(options);
  return options;
}

}  // namespace guest
