#include "migration/handover/action.hpp"

namespace migration::handover {

std::string_view to_string(Action action) {
  static constexpr std::array<std::string_view, kActions> kNames = {"stop guest",
                                                                    "run guest",
                                                                    "start guest",
                                                                    "drop guest",
                                                                    "hand on",
                                                                    "send last_round",
                                                                    "send commit",
                                                                    "send abort",
                                                                    "send inquire",
                                                                    "send released",
                                                                    "send accept",
                                                                    "send prepared",
                                                                    "send running",
                                                                    "send ended",
                                                                    "send refused",
                                                                    "send acknowledged",
                                                                    "send status prepared",
                                                                    "send status running",
                                                                    "send status refused",
                                                                    "close link",
                                                                    "close earlier links",
                                                                    "warn: two owners"};
  return kNames.at(static_cast<std::size_t>(action));
}

}  // namespace migration::handover
