#pragma once

#include <string_view>

namespace ferry {

// What commands print that end by themselves: all that they write to standard output goes through
// here.

/// std::system_error when not all of it can be written: what was asked for is lost, and the status
/// has to say so.
void print_out(std::string_view text);

/// {"error": why} on standard output, for a command with --json; lost when it cannot be written.
void print_error_json(std::string_view why) noexcept;

/// Progress on standard error: what has no room there at once, or no reader, is dropped, so that
/// nobody ends or delays what is reported on.
void show_progress(std::string_view text) noexcept;

}  // namespace ferry
