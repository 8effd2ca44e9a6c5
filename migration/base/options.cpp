#include "migration/base/options.hpp"

namespace migration {

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::pre_copy: return "pre-copy";
    case Mode::stop_and_copy: return "stop-and-copy";
    case Mode::post_copy: return "post-copy";
    case Mode::hybrid: return "hybrid";
    case Mode::local: return "local";
    case Mode::automatic: break;
  }
  return "auto";
}

std::string_view to_string(Compression compression) {
  switch (compression) {
    case Compression::automatic: return "auto";
    case Compression::lz4: return "lz4";
    case Compression::zstd: return "zstd";
    case Compression::none: break;
  }
  return "none";
}

std::string_view to_string(Prepaging prepaging) {
  switch (prepaging) {
    case Prepaging::bubbling: return "bubbling";
    case Prepaging::linear: return "linear";
    case Prepaging::none: break;
  }
  return "none";
}

std::string_view to_string(StopPolicy policy) {
  return policy == StopPolicy::density ? "density" : "first-fit";
}

std::string_view to_string(Reuse reuse) {
  switch (reuse) {
    case Reuse::automatic: return "auto";
    case Reuse::generation: return "generation";
    case Reuse::content: return "content";
    case Reuse::off: break;
  }
  return "off";
}

std::optional<Mode> mode_from(std::string_view name) {
  for (const Mode mode : {Mode::pre_copy, Mode::stop_and_copy, Mode::post_copy, Mode::hybrid,
                          Mode::local, Mode::automatic}) {
    if (to_string(mode) == name) return mode;
  }
  return std::nullopt;
}

std::optional<Compression> compression_from(std::string_view name) {
  for (const Compression value :
       {Compression::automatic, Compression::lz4, Compression::zstd, Compression::none}) {
    if (to_string(value) == name) return value;
  }
  return std::nullopt;
}

std::optional<Prepaging> prepaging_from(std::string_view name) {
  for (const Prepaging value : {Prepaging::bubbling, Prepaging::linear, Prepaging::none}) {
    if (to_string(value) == name) return value;
  }
  return std::nullopt;
}

std::optional<StopPolicy> stop_policy_from(std::string_view name) {
  for (const StopPolicy value : {StopPolicy::first_fit, StopPolicy::density}) {
    if (to_string(value) == name) return value;
  }
  return std::nullopt;
}

std::optional<Reuse> reuse_from(std::string_view name) {
  for (const Reuse value : {Reuse::automatic, Reuse::generation, Reuse::content, Reuse::off}) {
    if (to_string(value) == name) return value;
  }
  return std::nullopt;
}

}  // namespace migration
