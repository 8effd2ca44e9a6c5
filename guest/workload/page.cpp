#include "guest/workload/page.hpp"

#include <cstddef>

#include "guest/cpu/freestanding.hpp"

namespace guest {
namespace {

constexpr std::size_t kWords = 512;
constexpr std::size_t kAddressWord = 0;
constexpr std::size_t kGenerationWord = 1;
constexpr std::size_t kChecksumWord = 2;
constexpr std::size_t kFirstContentWord = 3;

// May alias anything: pages are raw memory.
using Word [[gnu::may_alias]] = std::uint64_t;

/// Words of seven letters and a blank: as many as make lz4 shrink a page to about 40 %, prose's
/// ratio.
struct Vocabulary {
  static constexpr std::uint64_t kSize = 256;
  std::uint64_t entries[kSize] = {};

  constexpr Vocabulary() {
    for (std::uint64_t i = 0; i < kSize; ++i) {
      constexpr std::uint64_t kLetters = 0x0061'6161'6161'6161;
      constexpr std::uint64_t kBlank = std::uint64_t{' '} << 56;
      entries[i] = (mix(i) & 0x000f'0f0f'0f0f'0f0f) + kLetters + kBlank;
    }
  }
};
constexpr Vocabulary kVocabulary;

/// Odd, so that a change of a word always shows, and different for each, so that words cannot
/// change places unseen.
constexpr std::uint64_t weight(std::size_t index) { return 2 * index + 1; }

std::uint64_t text_word(std::uint64_t choice) {
  return kVocabulary.entries[choice % Vocabulary::kSize];
}

void fill_random(Word* page, Random& random) {
  for (std::size_t i = kFirstContentWord; i < kWords; ++i) page[i] = random.next();
}

void fill_text(Word* page, Random& random) {
  std::uint64_t choices = 0;
  for (std::size_t i = kFirstContentWord; i < kWords; ++i, choices >>= 8) {
    if (i % 8 == kFirstContentWord) choices = random.next();
    page[i] = text_word(choices);
  }
}

std::uint64_t checksum(const Word* page) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kWords; ++i) sum += page[i] * weight(i);
  return sum - page[kChecksumWord] * weight(kChecksumWord);
}

void change(Word* page, std::size_t index, std::uint64_t value) {
  page[kChecksumWord] += (value - page[index]) * weight(index);
  page[index] = value;
}

PageVerdict verify_zero(const Word* page) {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kWords; ++i) seen |= page[i];
  if (seen == 0) return {};
  return {PageFault::torn, seen, 0};
}

}  // namespace

const char* name(PageFault fault) {
  switch (fault) {
    case PageFault::lost: return "lost";
    case PageFault::stale: return "stale";
    case PageFault::torn: return "torn";
    case PageFault::none: break;
  }
  return "whole";
}

void fill_page(std::uint64_t address, PageKind kind, std::uint32_t generation) {
  fill_page_as(address, address, kind, generation);
}

void fill_page_as(std::uint64_t name, std::uint64_t address, PageKind kind,
                  std::uint32_t generation) {
  auto* page = reinterpret_cast<Word*>(address);
  if (kind == PageKind::zero) {
    memset(page, 0, kWords * sizeof(Word));
    return;
  }
  Random random(name + generation);
  if (kind == PageKind::random) {
    fill_random(page, random);
  } else {
    fill_text(page, random);
  }
  page[kAddressWord] = name;
  page[kGenerationWord] = generation;
  page[kChecksumWord] = checksum(page);
}

PageVerdict touch_page(std::uint64_t address, PageKind kind, std::uint32_t generation,
                       Random& random, PageWrite where) {
  return touch_page_as(address, address, kind, generation, random, where);
}

PageVerdict touch_page_as(std::uint64_t name, std::uint64_t address, PageKind kind,
                          std::uint32_t generation, Random& random, PageWrite where) {
  auto* page = reinterpret_cast<Word*>(address);
  if (page[kAddressWord] != name) return {PageFault::lost, page[kAddressWord], name};
  if (page[kGenerationWord] != generation) {
    return {PageFault::stale, page[kGenerationWord], generation};
  }
  const auto write = [&](std::size_t index) {
    const std::uint64_t draw = random.next();
    change(page, index, kind == PageKind::random ? draw : text_word(draw >> 32));
  };
  if (where == PageWrite::block) {
    constexpr std::size_t kEnd = kChecksumWord + 8;
    for (std::size_t index = kFirstContentWord; index < kEnd; ++index) write(index);
    return {};
  }
  constexpr std::size_t kQuarter = kWords / 4;
  std::uint64_t choices = random.next() >> 8;
  for (std::size_t i = 0; i < 4; ++i, choices >>= 7) {
    const std::size_t index = i * kQuarter + choices % kQuarter;
    if (index >= kFirstContentWord) write(index);
  }
  change(page, kGenerationWord, std::uint64_t{generation} + 1);
  return {};
}

std::uint64_t peek_page(std::uint64_t address) {
  return *reinterpret_cast<const volatile Word*>(address + kAddressWord * sizeof(Word));
}

PageVerdict verify_page(std::uint64_t address, PageKind kind, std::uint32_t generation) {
  return verify_page_as(address, address, kind, generation);
}

PageVerdict verify_page_as(std::uint64_t name, std::uint64_t address, PageKind kind,
                           std::uint32_t generation) {
  const auto* page = reinterpret_cast<const Word*>(address);
  if (kind == PageKind::zero) return verify_zero(page);
  if (page[kAddressWord] != name) return {PageFault::lost, page[kAddressWord], name};
  const std::uint64_t sum = checksum(page);
  if (page[kChecksumWord] != sum) return {PageFault::torn, page[kChecksumWord], sum};
  if (page[kGenerationWord] != generation) {
    return {PageFault::stale, page[kGenerationWord], generation};
  }
  return {};
}

}  // namespace guest
