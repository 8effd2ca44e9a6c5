#include "placement/program/apply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

#include "migration/base/address.hpp"
#include "placement/policy.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

namespace placement {

using nlohmann::json;

namespace {

/// Of a reason, more is no help.
constexpr std::size_t kMaxWhy = 2000;

std::vector<std::string> command_of(const std::string& ferry, const Move& move,
                                    const Errand& errand) {
  // In one word with its value, an option's value is never taken for an option.
  return {ferry,
          "migrate",
          "--api-socket=" + errand.api_socket,
          "--to=" + errand.to,
          fmt::format("--mode={}", migration::to_string(move.mode)),
          "--json"};
}

/// The last message that was said, in one line.
std::string last_words(const Ended& ended) {
  std::string_view text = ended.err;
  while (text.ends_with('\n')) text.remove_suffix(1);
  while (text.starts_with('\n')) text.remove_prefix(1);
  constexpr std::string_view kBegin = "\nferry: ";
  if (const auto begin = text.rfind(kBegin); begin != std::string_view::npos) {
    text.remove_prefix(begin + 1);
  }
  std::string line;
  for (const char c : vmm::start_of(text, kMaxWhy)) {
    if (c == '\n') {
      line += "; ";
    } else {
      line += c;
    }
  }
  return vmm::printable(line);
}

Outcome outcome_of(const Ended& ended) {
  Outcome outcome;
  outcome.report = vmm::parse_json(ended.out);
  if (outcome.report.is_discarded()) outcome.report = nullptr;
  outcome.kind = ended.status == 0 ? Outcome::Kind::moved : Outcome::Kind::failed;
  if (ended.status == 0) return outcome;
  outcome.why = last_words(ended);
  if (outcome.why.empty()) outcome.why = fmt::format("ferry migrate ended with {}", ended.status);
  return outcome;
}

/// By each, how many processes of the file are asked.
std::unordered_map<std::string, std::size_t> count_sockets(const Fleet& fleet) {
  std::unordered_map<std::string, std::size_t> count;
  for (const Vm& vm : fleet.vms) ++count[vm.api_socket];
  for (const Receiver& receiver : fleet.receivers) ++count[receiver.api_socket];
  return count;
}

/// By it one process is asked, and no other.
void check_socket(const Fleet& fleet, const Move& move, const std::string& socket,
                  std::size_t processes) {
  const std::string& vm = fleet.vms[move.vm].name;
  const std::string& host = fleet.hosts[move.from].name;
  if (socket.empty()) {
    throw CannotApply(
        fmt::format("the file names no api_socket by which {} at {} can be asked", vm, host));
  }
  if (processes > 1) {
    throw CannotApply(fmt::format("the api_socket {} of {} at {} is that of another process too",
                                  socket, vm, host));
  }
}

/// As `ferry migrate --to` takes it, and in one form.
std::string address_of(const Fleet& fleet, const Receiver& receiver) {
  try {
    return migration::to_string(migration::parse_destination(receiver.listen));
  } catch (const std::invalid_argument& error) {
    throw CannotApply(
        fmt::format("the receiver at {}: {}", fleet.hosts[receiver.host].name, error.what()));
  }
}

}  // namespace

std::string_view to_string(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::moved: return "moved";
    case Outcome::Kind::failed: return "failed";
    case Outcome::Kind::not_begun: break;
  }
  return "not-begun";
}

std::vector<Errand> errands_of(const Fleet& fleet, std::span<const Move> moves) {
  std::vector<std::vector<const Receiver*>> free(fleet.hosts.size());
  for (const Receiver& receiver : fleet.receivers) free[receiver.host].push_back(&receiver);
  // Taken from the back.
  for (auto& receivers : free) std::ranges::reverse(receivers);
  std::vector<std::string> sockets;
  for (const Vm& vm : fleet.vms) sockets.push_back(vm.api_socket);
  const auto processes = count_sockets(fleet);
  std::unordered_set<std::string> addresses;
  std::vector<Errand> errands;
  for (const Move& move : moves) {
    const std::string& to = fleet.hosts[move.to].name;
    auto& receivers = free[move.to];
    if (receivers.empty()) {
      throw CannotApply(
          fmt::format("moves to {}: {}, receivers there that the file names: {}; each takes one VM",
                      to, std::ranges::count(moves, move.to, &Move::to),
                      std::ranges::count(fleet.receivers, move.to, &Receiver::host)));
    }
    const std::string socket = sockets[move.vm];
    check_socket(fleet, move, socket, processes.at(socket));
    const Receiver& receiver = *receivers.back();
    receivers.pop_back();
    if (!addresses.insert(address_of(fleet, receiver)).second) {
      throw CannotApply(
          fmt::format("the receiver at {}: another one listens on {} too", to, receiver.listen));
    }
    errands.push_back({socket, receiver.listen});
    sockets[move.vm] = receiver.api_socket;
  }
  return errands;
}

bool Applied::all_moved() const {
  return std::ranges::all_of(outcomes,
                             [](const Outcome& each) { return each.kind == Outcome::Kind::moved; });
}

Applied apply(const std::string& ferry, std::span<const Move> moves,
              std::span<const Errand> errands, const RunAtOnce& run,
              const std::function<void(const Move&, const Outcome&)>& tell) {
  Applied applied{.outcomes = std::vector<Outcome>(moves.size()), .signal = 0};
  for (std::size_t first = 0; first < moves.size();) {
    std::size_t end = first;
    std::vector<std::vector<std::string>> commands;
    for (; end < moves.size() && moves[end].step == moves[first].step; ++end) {
      commands.push_back(command_of(ferry, moves[end], errands[end]));
    }
    const Ran ran = run(commands);
    applied.signal = ran.signal;
    bool failed = false;
    for (std::size_t i = first; i < end; ++i) {
      const auto& ended = ran.ended[i - first];
      if (!ended) continue;
      Outcome& outcome = applied.outcomes[i];
      outcome = outcome_of(*ended);
      failed = failed || outcome.kind == Outcome::Kind::failed;
      tell(moves[i], outcome);
    }
    if (failed || applied.signal != 0) break;
    first = end;
  }
  return applied;
}

std::vector<HostIndex> places_after(const Fleet& fleet, std::span<const Move> moves,
                                    std::span<const Outcome> outcomes) {
  std::vector<HostIndex> places = places_of(fleet);
  for (std::size_t i = 0; i < moves.size(); ++i) {
    if (outcomes[i].kind == Outcome::Kind::moved) places[moves[i].vm] = moves[i].to;
  }
  return places;
}

}  // namespace placement
