#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "devices/network/network_port.hpp"
#include "devices/network/readiness.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::network {

/// A network in user space, such as passt, at a stream socket: each frame has its length in front
/// of it, in four bytes, the highest first.
class PasstPort final : public NetworkPort {
 public:
  /// `path`: of its socket. `report`: is told when the other end has gone.
  PasstPort(std::string path, std::function<void(std::string)> report);

  [[nodiscard]] std::string name() const override { return "passt:" + path_; }
  [[nodiscard]] std::uint64_t offloads() const override { return 0; }
  void open() override;
  void close() override;
  void use(std::uint64_t /*offloads*/) override {}
  [[nodiscard]] int descriptor() const override { return ready_.get(); }
  [[nodiscard]] bool linked() const override { return linked_; }

 private:
  [[nodiscard]] bool do_send(const FrameHeader& header, std::span<const iovec> frame) override;
  [[nodiscard]] std::optional<std::size_t> do_receive(FrameHeader& header,
                                                      std::span<const iovec> into) override;
  void send_rest() FERRY_REQUIRES(send_mutex_);
  void keep_rest(std::span<const iovec> parts, std::size_t sent) FERRY_REQUIRES(send_mutex_);
  [[nodiscard]] bool fill();
  [[nodiscard]] std::optional<std::size_t> take_frame(std::span<const iovec> into);
  void lost(const std::string& why);

  const std::string path_;
  const std::function<void(std::string)> report_;
  const Readiness ready_;
  vmm::UniqueFd fd_;
  std::atomic<bool> linked_{false};

  vmm::Mutex send_mutex_;
  std::vector<std::byte> rest_ FERRY_GUARDED_BY(send_mutex_);  ///< of a frame that went in part

  // The receiver's: what has come and was not taken is [begin_, end_) of the buffer.
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace devices::network
