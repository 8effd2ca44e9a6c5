#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "ferry/command_line.hpp"
#include "migration/reuse/image_store.hpp"

namespace ferry {

/// `ferry images`: lists the kept images on stdout, or drops one. Returns the exit status, or
/// throws Failure: also for a directory that was named and is not there, while the default one is
/// empty until the first image is kept.
[[nodiscard]] int images(const ImagesCommand& command);

// What it prints; `now` in microseconds since 1970.
[[nodiscard]] std::string images_table(std::span<const migration::ImageStore::Entry> entries,
                                       std::int64_t now);
[[nodiscard]] nlohmann::json images_json(std::span<const migration::ImageStore::Entry> entries,
                                         std::int64_t now);

}  // namespace ferry
