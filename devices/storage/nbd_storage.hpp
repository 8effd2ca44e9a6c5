#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/storage/disk_identity.hpp"
#include "devices/storage/nbd_connection.hpp"
#include "devices/storage/storage.hpp"
#include "devices/storage/unflushed.hpp"

namespace devices::storage {

struct NbdOptions {
  std::string uri;  ///< as libnbd knows them
  bool read_only = false;
  std::string id;
  /// For a request; connecting has no more than some seconds.
  std::chrono::milliseconds limit{30'000};
  /// Is told when the guest goes on without it. Any thread.
  std::function<void(std::string)> report = {};
};

/// A disk that a server has, over NBD: for hosts that share no file.
///
/// There is no lock. A machine that releases it has flushed it, and one that acquires it sees that.
/// Where a connection is lost, or a flush of ours fails, so may be what was written and not
/// flushed: of that the guest's next flush tells, by failing.
class NbdStorage final : public Storage {
 public:
  /// std::system_error when it is not to be had, std::invalid_argument when it is no disk; both
  /// name it.
  explicit NbdStorage(NbdOptions options);
  ~NbdStorage() override;

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] std::string_view id() const override { return id_; }

  [[nodiscard]] std::string host_part() const override { return to_text(identity()); }
  [[nodiscard]] NbdIdentity identity() const;
  /// As of FileStorage.
  void check_same(const NbdIdentity& other) const;

  void acquire() override;
  void release() override;
  void prepare_release() override {
    if (!read_only_) flush(false);
  }
  void read(std::uint64_t offset, std::span<iovec> parts) override;
  [[nodiscard]] bool try_read(std::uint64_t /*offset*/, std::span<const iovec> /*parts*/) override {
    return false;
  }
  void write(std::uint64_t offset, std::span<iovec> parts) override;
  void flush() override;
  void discard(std::uint64_t offset, std::uint64_t length) override;
  void write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) override;

 private:
  void check(const NbdExport& server);
  void flush(bool of_guest);
  std::vector<std::byte> perform(const char* what, NbdRequest request);
  /// Names the disk, and `what`, in the failure of a call.
  template <typename Call>
  auto named(const char* what, Call call) const;

  const std::string name_;  ///< for people
  const bool read_only_;
  const std::string id_;
  const std::function<void(std::string)> report_;
  const std::shared_ptr<NbdConnection> connection_;
  std::uint64_t size_ = 0;
  std::string export_;
  Unflushed unflushed_;
  bool acquired_ = false;
  bool was_acquired_ = false;  ///< ever
};

}  // namespace devices::storage
