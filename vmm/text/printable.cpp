#include "vmm/text/printable.hpp"

namespace vmm {

namespace {

constexpr unsigned kContinuation = 0x80;
constexpr unsigned kLastContinuation = 0xbf;
constexpr unsigned char kDel = 0x7f;

unsigned byte(std::string_view text, std::size_t index) {
  return static_cast<unsigned char>(text[index]);
}

std::size_t length_by_lead(unsigned lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/// Neither a longer form than need be, nor a surrogate, nor beyond U+10FFFF.
bool second_byte_is_sound(unsigned lead, unsigned second) {
  switch (lead) {
    case 0xe0: return second >= 0xa0;
    case 0xed: return second <= 0x9f;
    case 0xf0: return second >= 0x90;
    case 0xf4: return second <= 0x8f;
    default: return true;
  }
}

/// Bytes of the UTF-8 character that `text`, which is not empty, begins with; 0 when there is none.
std::size_t character_length(std::string_view text) {
  const unsigned lead = byte(text, 0);
  const std::size_t length = length_by_lead(lead);
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t index = 1; index < length; ++index) {
    if (byte(text, index) < kContinuation || byte(text, index) > kLastContinuation) return 0;
  }
  if (length > 1 && !second_byte_is_sound(lead, byte(text, 1))) return 0;
  return length;
}

bool is_control(std::string_view character) {
  const unsigned lead = byte(character, 0);
  if (character.size() == 1) return lead < ' ' || lead == kDel;
  return lead == 0xc2 && byte(character, 1) < 0xa0;  // U+0080 to U+009F
}

}  // namespace

std::string printable(std::string_view text, std::string_view kept) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const std::string_view character = text.substr(0, length);
    const bool good = length > 0 && (!is_control(character) ||
                                     (length == 1 && kept.find(text[0]) != std::string_view::npos));
    result += good ? character : "?";
    text.remove_prefix(length > 0 ? length : 1);
  }
  return result;
}

bool is_printable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0 || is_control(text.substr(0, length))) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string_view start_of(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  const auto continues = [&](std::size_t index) {
    return byte(text, index) >= kContinuation && byte(text, index) <= kLastContinuation;
  };
  std::size_t end = limit;
  // A character has at most three bytes after its first.
  while (end > 0 && limit - end < 3 && continues(end)) --end;
  return text.substr(0, continues(end) ? limit : end);
}

}  // namespace vmm
