#include "devices/storage/nbd_storage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "devices/storage/parts.hpp"
#include "vmm/text/printable.hpp"

namespace devices::storage {

namespace {

using Kind = NbdRequest::Kind;

/// Calls `copy` for each piece of the first `bytes` that `parts` have room for, and takes them off.
template <typename Copy>
void take_front(std::span<iovec>& parts, std::uint64_t bytes, Copy copy) {
  while (bytes > 0) {
    iovec& part = parts.front();
    const std::size_t here = std::min<std::uint64_t>(bytes, part.iov_len);
    auto* const start = static_cast<std::byte*>(part.iov_base);
    if (here > 0) copy(std::span(start, here));
    bytes -= here;
    part = {start + here, part.iov_len - here};
    if (part.iov_len == 0) parts = parts.subspan(1);
  }
}

}  // namespace

template <typename Call>
auto NbdStorage::named(const char* what, Call call) const {
  try {
    return call();
  } catch (const std::system_error& error) {
    std::string why = error.what();
    // It is said again behind it.
    if (const std::string end = ": " + error.code().message(); why.ends_with(end)) {
      why.resize(why.size() - end.size());
    }
    throw std::system_error(error.code(), fmt::format("{}: {}: {}", name_, what, why));
  }
}

NbdStorage::NbdStorage(NbdOptions options)
    : name_(fmt::format("disk 'nbd:{}'", options.uri)),
      read_only_(options.read_only),
      id_(std::move(options.id)),
      report_(std::move(options.report)),
      connection_(named("cannot open", [&] {
        return std::make_shared<NbdConnection>(std::move(options.uri), options.limit);
      })) {
  if (id_.size() > kLongestId) {
    throw std::invalid_argument(
        fmt::format("{}: its id is longer than {} characters", name_, kLongestId));
  }
  connection_->start();
  try {
    named("cannot open", [&] { connection_->connect({}); });
    check(connection_->server());
  } catch (...) {
    connection_->end();
    throw;
  }
}

NbdStorage::~NbdStorage() { connection_->end(); }

void NbdStorage::check(const NbdExport& server) {
  size_ = server.bytes;
  export_ = server.name;
  if (server.read_only && !read_only_) {
    throw std::system_error(EROFS, std::generic_category(),
                            name_ + ": cannot open to read and write (read-only, it needs less)");
  }
  if (size_ == 0) throw std::invalid_argument(name_ + " is empty: give it a size");
  if (size_ % kSectorSize != 0) {
    throw std::invalid_argument(
        fmt::format("{} has {} bytes, which is no multiple of {}", name_, size_, kSectorSize));
  }
  if (server.least_bytes > kSectorSize) {
    throw std::invalid_argument(
        fmt::format("{}: its server takes no less than {} bytes at a time, and a guest's disk has "
                    "sectors of {}",
                    name_, server.least_bytes, kSectorSize));
  }
  if (!read_only_ && !server.can_flush) {
    throw std::invalid_argument(
        name_ + ": its server cannot flush, so that no write would be sure to stay");
  }
  if (export_.size() > NbdIdentity::kLongestExport || !vmm::is_printable(export_)) {
    throw std::invalid_argument(
        fmt::format("{}: an export's name is up to {} bytes of printable characters", name_,
                    NbdIdentity::kLongestExport));
  }
}

NbdIdentity NbdStorage::identity() const {
  return {.bytes = size_, .read_only = read_only_, .name = export_};
}

void NbdStorage::check_same(const NbdIdentity& other) const {
  if (size_ != other.bytes) {
    throw std::invalid_argument(
        fmt::format("{} has {} bytes here, and the guest's disk has {}: both hosts must see the "
                    "same disk",
                    name_, size_, other.bytes));
  }
  if (export_ != other.name) {
    throw std::invalid_argument(fmt::format(
        "{} is the export '{}', and the guest's disk is '{}': both hosts must see the same disk",
        name_, export_, other.name));
  }
}

/// What a connection has in a cache of its own is old once another host has written: none has where
/// a guest that ran here is taken back. That runs on, be it without its disk for now: there is no
/// lock that waiting would keep.
void NbdStorage::acquire() {
  if (acquired_) return;
  const NbdConnecting how{.anew = !was_acquired_ && !connection_->server().one_cache,
                          .patient = was_acquired_};
  try {
    named("cannot acquire", [&] { connection_->connect(how); });
  } catch (const std::system_error& error) {
    if (!was_acquired_) throw;
    report_(fmt::format("the guest's requests fail until its disk is there: {}", error.what()));
  }
  acquired_ = was_acquired_ = true;
}

/// As of FileStorage.
void NbdStorage::release() {
  if (!acquired_) return;
  if (unflushed_.any()) flush(false);
  acquired_ = false;
}

void NbdStorage::read(std::uint64_t offset, std::span<iovec> parts) {
  const std::uint64_t most = connection_->server().most_bytes;
  for (std::uint64_t left = bytes_of(parts); left > 0;) {
    const std::uint64_t bytes = std::min(left, most);
    const auto data =
        perform("cannot read", {.kind = Kind::read, .offset = offset, .length = bytes});
    std::span<const std::byte> rest = data;
    take_front(parts, bytes, [&rest](std::span<std::byte> piece) {
      std::memcpy(piece.data(), rest.data(), piece.size());
      rest = rest.subspan(piece.size());
    });
    offset += bytes;
    left -= bytes;
  }
}

void NbdStorage::write(std::uint64_t offset, std::span<iovec> parts) {
  const std::uint64_t most = connection_->server().most_bytes;
  const Unflushed::Change change(unflushed_);
  for (std::uint64_t left = bytes_of(parts); left > 0;) {
    const std::uint64_t bytes = std::min(left, most);
    std::vector<std::byte> data;
    data.reserve(bytes);
    take_front(parts, bytes, [&data](std::span<std::byte> piece) {
      data.insert(data.end(), piece.begin(), piece.end());
    });
    perform("cannot write",
            {.kind = Kind::write, .offset = offset, .length = bytes, .data = std::move(data)});
    offset += bytes;
    left -= bytes;
  }
}

void NbdStorage::flush() { flush(true); }

void NbdStorage::flush(bool of_guest) {
  unflushed_.flush([&] { perform("cannot flush", {.kind = Kind::flush, .of_guest = of_guest}); });
}

void NbdStorage::discard(std::uint64_t offset, std::uint64_t length) {
  if (!connection_->server().can_trim) return;
  const Unflushed::Change change(unflushed_);
  perform("cannot discard", {.kind = Kind::discard, .offset = offset, .length = length});
}

void NbdStorage::write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) {
  if (!connection_->server().can_zero) return write_zeros(*this, offset, length);
  const Unflushed::Change change(unflushed_);
  perform("cannot make zeros",
          {.kind = Kind::write_zeroes, .offset = offset, .length = length, .may_unmap = may_unmap});
}

std::vector<std::byte> NbdStorage::perform(const char* what, NbdRequest request) {
  return named(what, [&] { return connection_->perform(std::move(request)); });
}

}  // namespace devices::storage
