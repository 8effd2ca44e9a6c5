#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vmm {

// Text of a peer, a guest, a file or a user, for people: it must not pass for another line, steer a
// terminal, or be no text at all.

/// `text` with '?' in place of each control character (C0, DEL and C1) and of each byte that is not
/// UTF-8. The characters in `kept` stay.
[[nodiscard]] std::string printable(std::string_view text, std::string_view kept = "");
/// Whether `text` is UTF-8 without control characters.
[[nodiscard]] bool is_printable(std::string_view text);
[[nodiscard]] bool is_utf8(std::string_view text);
/// The start of `text`, of at most `limit` bytes and without a part of a character at its end.
[[nodiscard]] std::string_view start_of(std::string_view text, std::size_t limit);

}  // namespace vmm
