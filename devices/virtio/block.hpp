#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/storage/storage.hpp"
#include "devices/virtio/virtio_device.hpp"
#include "devices/virtio/workers.hpp"

namespace devices::virtio {

/// The block device (virtio 1.2, section 5.2): a disk in sectors of 512 bytes.
///
///   take() --> in the queue's thread: the guest's mistakes, and reads of what is at hand --> done
///                    |
///                    +--> in threads that wait for the host, beside each other --> done
class Block final : public VirtioDevice {
 public:
  // Its features.
  static constexpr std::uint64_t kSegmentLimit = std::uint64_t{1} << 2;
  static constexpr std::uint64_t kReadOnly = std::uint64_t{1} << 5;
  static constexpr std::uint64_t kBlockSize = std::uint64_t{1} << 6;
  static constexpr std::uint64_t kFlush = std::uint64_t{1} << 9;
  static constexpr std::uint64_t kDiscard = std::uint64_t{1} << 13;
  static constexpr std::uint64_t kWriteZeroes = std::uint64_t{1} << 14;

  /// The most bytes of data of one request: it is read or written whole before a pause. Linux sends
  /// some MiB at most, unless an operator of its wants more.
  static constexpr std::uint64_t kMostData = std::uint64_t{64} << 20;
  // The most sectors of one request. Where zeros have to be written one by one, pausing waits for
  // them.
  static constexpr std::uint32_t kMostDiscarded = std::uint32_t{1} << 21;
  static constexpr std::uint32_t kMostZeroed = std::uint32_t{1} << 16;

  enum class RequestType : std::uint32_t {
    in = 0,
    out = 1,
    flush = 4,
    get_id = 8,
    discard = 11,
    write_zeroes = 13,
  };
  enum class Status : std::uint8_t { ok = 0, io_error = 1, unsupported = 2 };

  /// The host failed, how it says; no more is told before a request succeeds again. Any thread.
  using Report = std::function<void(std::string)>;

  Block(std::shared_ptr<storage::Storage> storage, Report report);

  [[nodiscard]] std::uint16_t type() const override { return 2; }
  [[nodiscard]] std::uint64_t features() const override;
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return kSizes; }
  [[nodiscard]] std::vector<std::byte> config() const override;
  [[nodiscard]] std::string host_part() const override { return storage_->host_part(); }
  [[nodiscard]] std::string about() const override;
  void acquire() override;
  void release() override;
  void prepare_release() override { storage_->prepare_release(); }
  void note_run() override { storage_->note_run(); }
  [[nodiscard]] bool tells_runs() const override { return storage_->tells_runs(); }
  [[nodiscard]] std::optional<bool> held_elsewhere() const override {
    return storage_->held_elsewhere();
  }
  [[nodiscard]] bool last_ran_here() const override { return storage_->last_ran_here(); }
  void begin(std::uint64_t features) override;
  void serve(unsigned index, ServedQueue& queue) override;

 private:
  static constexpr std::array<std::uint16_t, 1> kSizes = {256};
  static constexpr unsigned kMostThreads = 32;

  /// A request, as far as it is understood.
  struct Job {
    Request request;
    std::uint32_t written = 0;    ///< of all its memory that the device writes
    std::byte* status = nullptr;  ///< the last byte of that
    RequestType type{};
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;  ///< bytes
    bool may_unmap = false;
    std::vector<iovec> data;
  };

  [[nodiscard]] std::optional<Status> begin(Job& job);
  [[nodiscard]] std::optional<Status> begin_transfer(Job& job, std::uint64_t sector);
  [[nodiscard]] std::optional<Status> begin_range(Job& job);
  [[nodiscard]] Status tell_id(const Job& job) const;
  [[nodiscard]] bool reaches(std::uint64_t sector, std::uint64_t sectors) const;
  [[nodiscard]] Status perform(Job& job);
  void ask_host(Job& job);
  static void finish(ServedQueue& queue, const Job& job, Status status);
  void take_or_give(void (storage::Storage::*call)());

  const std::shared_ptr<storage::Storage> storage_;
  const Report report_;
  const std::uint64_t capacity_;            ///< sectors
  std::atomic<bool> write_through_{false};  ///< the driver flushes nothing
  std::atomic<bool> failing_{false};
  std::atomic<bool> taking_or_giving_{false};
  Workers workers_{kMostThreads};  ///< last: they use all else
};

}  // namespace devices::virtio
