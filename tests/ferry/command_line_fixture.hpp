#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ferry/command_line.hpp"
#include "ferry/exit_status.hpp"

namespace ferry {

inline std::optional<Command> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "ferry");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

template <typename Wanted>
Wanted parse_as(std::vector<const char*> words) {
  return std::get<Wanted>(parse(std::move(words)).value());
}

inline std::string refusal(std::vector<const char*> words) {
  try {
    static_cast<void>(parse(std::move(words)));
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.status(), ExitStatus::usage);
    return failure.what();
  }
  return "";
}

}  // namespace ferry
