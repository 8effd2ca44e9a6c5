#include "migration/wire/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "migration/base/options.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

namespace migration::wire {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxReasonBytes = 4096;
/// Page numbers are of 32 bits.
constexpr std::uint64_t kMaxPages = std::uint64_t{1} << 32;
/// A day: times are added to clocks.
constexpr std::uint64_t kMaxTimeoutMs = std::uint64_t{24} * 60 * 60 * 1000;

/// A reason that the peer's decoder takes, whatever it is made of: what is no text would grow on
/// its way into JSON.
std::string reason_text(std::string_view reason) {
  return vmm::printable(vmm::start_of(reason, kMaxReasonBytes));
}

constexpr std::array<std::pair<VmStatus, std::string_view>, 4> kStatusNames = {
    {{VmStatus::unknown, "unknown"},
     {VmStatus::prepared, "prepared"},
     {VmStatus::running, "running"},
     {VmStatus::refused, "refused"}}};

Bytes to_bytes(const json& message) {
  // Text from the kernel or the user (a reason, a name) may not be UTF-8; it must not stop a
  // handover.
  const std::string text = vmm::json_text(message);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// A JSON object from a peer, with checked access.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> payload) {
    object_ = vmm::parse_json({reinterpret_cast<const char*>(payload.data()), payload.size()});
    if (!object_.is_object()) throw ProtocolError("the peer sent a message that is no JSON object");
  }

  std::string text(const char* name, std::size_t limit) const {
    const json& value = at(name);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > limit) unsound(name);
    return value.get<std::string>();
  }
  bool flag(const char* name) const {
    if (!at(name).is_boolean()) unsound(name);
    return at(name).get<bool>();
  }
  std::uint64_t number(const char* name) const {
    if (!at(name).is_number_unsigned()) unsound(name);
    return at(name).get<std::uint64_t>();
  }
  double real(const char* name) const {
    if (!at(name).is_number()) unsound(name);
    const auto value = at(name).get<double>();
    if (!std::isfinite(value) || value < 0) unsound(name);
    return value;
  }
  /// 16 bytes as hex digits, or nothing: "".
  std::optional<Token> bytes(const char* name) const {
    const std::string hex = text(name, 32);
    if (hex.empty()) return std::nullopt;
    Token bytes{};
    if (hex.size() != 2 * bytes.size()) unsound(name);
    for (std::size_t i = 0; i < hex.size(); ++i) {
      const auto digit = std::string_view("0123456789abcdef").find(hex[i]);
      if (digit == std::string_view::npos) unsound(name);
      bytes[i / 2] = (bytes[i / 2] << 4) | static_cast<std::byte>(digit);
    }
    return bytes;
  }
  Token token() const {
    const auto token = bytes("token");
    if (!token) unsound("token");
    return *token;
  }
  Features features() const {
    const json& names = at("features");
    if (!names.is_array() || names.size() > Features::kMaxNames) unsound("features");
    Features features;
    for (const json& name : names) {
      if (!name.is_string()) unsound("features");
      const auto& text = name.get_ref<const std::string&>();
      if (text.empty() || text.size() > Features::kMaxNameBytes) unsound("features");
      features.add(text);
    }
    return features;
  }
  std::chrono::milliseconds timeout() const {
    const std::uint64_t timeout = number("timeout_ms");
    if (timeout == 0) unsound("timeout_ms");
    return std::chrono::milliseconds(std::min(timeout, kMaxTimeoutMs));
  }
  Fields object(const char* name) const {
    if (!at(name).is_object()) unsound(name);
    return Fields(at(name));
  }
  /// What may be shown to people.
  std::string words(const char* name, std::size_t limit) const {
    return vmm::printable(text(name, limit));
  }
  [[nodiscard]] const json& all() const { return object_; }
  std::string incarnation() const { return text("incarnation", 64); }

  [[noreturn]] static void unsound(const char* name) {
    throw ProtocolError(fmt::format("the peer sent a message with an unsound \"{}\"", name));
  }

 private:
  explicit Fields(json object) : object_(std::move(object)) {}

  const json& at(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) {
      throw ProtocolError(fmt::format("the peer sent a message without \"{}\"", name));
    }
    return *found;
  }
  json object_;
};

}  // namespace

Bytes encode(const Offer& message) {
  return to_bytes({{"token", to_hex(message.token)},
                   {"config", message.config},
                   {"channels", message.channels},
                   {"mode", message.mode},
                   {"verify", message.verify},
                   {"paused", message.paused},
                   {"used", message.used_bytes},
                   {"keep", message.keep ? to_hex(message.image_key) : ""},
                   {"image", message.image_token ? to_hex(*message.image_token) : ""},
                   {"reuse", to_string(message.reuse)},
                   {"features", message.features.names()},
                   {"timeout_ms", message.timeout.count()}});
}

template <>
Offer decode(std::span<const std::byte> payload) {
  const Fields fields(payload);
  Offer offer;
  offer.token = fields.token();
  offer.config = fields.text("config", kMaxOfferBytes);
  const std::uint64_t channels = fields.number("channels");
  if (channels < 1 || channels > kMaxChannels) Fields::unsound("channels");
  offer.channels = static_cast<std::uint32_t>(channels);
  offer.mode = fields.text("mode", 32);
  // RAM that is handed over is told by the feature.
  if (const auto mode = mode_from(offer.mode); !mode || mode == Mode::local) {
    Fields::unsound("mode");
  }
  offer.verify = fields.flag("verify");
  offer.paused = fields.flag("paused");
  offer.used_bytes = fields.number("used");
  const auto key = fields.bytes("keep");
  offer.keep = key.has_value();
  offer.image_key = key.value_or(HashKey{});
  offer.image_token = fields.bytes("image");
  const auto reuse = reuse_from(fields.text("reuse", 32));
  if (!reuse) Fields::unsound("reuse");
  offer.reuse = *reuse;
  offer.features = fields.features();
  offer.timeout = fields.timeout();
  return offer;
}

Bytes encode(const MigrationReport& message) {
  Bytes bytes = to_bytes(to_json(message));
  if (bytes.size() <= kMaxTextBytes) return bytes;
  MigrationReport shorter = message;
  shorter.rounds.clear();
  return to_bytes(to_json(shorter));
}

template <>
MigrationReport decode(std::span<const std::byte> payload) {
  MigrationReport report;
  try {
    report = report_from_json(Fields(payload).all());
  } catch (const json::exception&) {
    throw ProtocolError("the peer sent an unsound report");
  } catch (const std::invalid_argument&) {
    throw ProtocolError("the peer sent a report of an unknown outcome");
  }
  for (std::string* text : {&report.mode, &report.transport, &report.phase, &report.owner}) {
    *text = vmm::printable(*text);
  }
  for (auto* text : {&report.error, &report.switched, &report.kept_image.error}) {
    if (*text) *text = vmm::printable(**text);
  }
  return report;
}

Bytes encode(const Accept& message) {
  const bool any = message.image_pages > 0;
  json fields = {{"incarnation", message.incarnation},
                 {"no_post_copy", reason_text(message.no_post_copy)},
                 {"features", message.features.names()},
                 {"timeout_ms", message.timeout.count()},
                 {"image",
                  {{"pages", message.image_pages},
                   {"by", any ? to_string(message.image_by) : ""},
                   {"key", any ? to_hex(message.image_key) : ""}}}};
  if (message.features.has(Feature::local)) fields["no_local"] = reason_text(message.no_local);
  return to_bytes(fields);
}

template <>
Accept decode(std::span<const std::byte> payload) {
  const Fields fields(payload);
  Accept accept{fields.incarnation(), fields.words("no_post_copy", kMaxReasonBytes)};
  accept.features = fields.features();
  if (accept.features.has(Feature::local)) {
    accept.no_local = fields.words("no_local", kMaxReasonBytes);
  }
  accept.timeout = fields.timeout();
  const Fields image = fields.object("image");
  accept.image_pages = image.number("pages");
  if (accept.image_pages > kMaxPages) Fields::unsound("pages");
  const std::string by = image.text("by", 32);
  const auto key = image.bytes("key");
  const bool content = by == to_string(Reuse::content);
  const bool generation = by == to_string(Reuse::generation);
  if (accept.image_pages > 0 ? !content && !generation : !by.empty()) Fields::unsound("by");
  if (key.has_value() != (content || generation)) Fields::unsound("key");
  if (content) accept.image_by = Reuse::content;
  if (generation) accept.image_by = Reuse::generation;
  if (key) accept.image_key = *key;
  return accept;
}

Bytes encode(const Reason& message) { return to_bytes({{"reason", reason_text(message.reason)}}); }

template <>
Reason decode(std::span<const std::byte> payload) {
  return {Fields(payload).words("reason", kMaxReasonBytes)};
}

Bytes encode(const Prepared& message) {
  return to_bytes({{"incarnation", message.incarnation},
                   {"restore_ms", message.restore_ms},
                   {"verified", message.verified}});
}

template <>
Prepared decode(std::span<const std::byte> payload) {
  const Fields fields(payload);
  return {fields.incarnation(), fields.real("restore_ms"), fields.flag("verified")};
}

Bytes encode(const Running& message) {
  return to_bytes({{"incarnation", message.incarnation},
                   {"cpu_seconds", message.cpu_seconds},
                   {"peak_rss", message.peak_rss},
                   {"missing", message.missing},
                   {"round", message.round},
                   {"faults", message.faults.count},
                   {"fault_p50_us", message.faults.p50_us},
                   {"fault_p99_us", message.faults.p99_us},
                   {"fault_max_us", message.faults.max_us}});
}

template <>
Running decode(std::span<const std::byte> payload) {
  const Fields fields(payload);
  Running running;
  running.incarnation = fields.incarnation();
  running.cpu_seconds = fields.real("cpu_seconds");
  running.peak_rss = fields.number("peak_rss");
  running.missing = fields.number("missing");
  const std::uint64_t round = fields.number("round");
  if (round > std::numeric_limits<std::uint32_t>::max()) Fields::unsound("round");
  running.round = static_cast<std::uint32_t>(round);
  running.faults = {fields.number("faults"), fields.real("fault_p50_us"),
                    fields.real("fault_p99_us"), fields.real("fault_max_us")};
  return running;
}

Bytes encode(const Inquire& message) {
  return to_bytes({{"token", to_hex(message.token)},
                   {"incarnation", message.incarnation},
                   {"keeper", message.keeper}});
}

template <>
Inquire decode(std::span<const std::byte> payload) {
  const Fields fields(payload);
  return {fields.token(), fields.incarnation(), fields.flag("keeper")};
}

Bytes encode(const Status& message) {
  std::string_view name;
  for (const auto& [status, text] : kStatusNames) {
    if (status == message.status) name = text;
  }
  return to_bytes({{"incarnation", message.incarnation}, {"status", name}});
}

template <>
Status decode(std::span<const std::byte> payload) {
  const Fields fields(payload);
  const std::string name = fields.text("status", 32);
  for (const auto& [status, text] : kStatusNames) {
    if (text == name) return {fields.incarnation(), status};
  }
  Fields::unsound("status");
}

}  // namespace migration::wire
