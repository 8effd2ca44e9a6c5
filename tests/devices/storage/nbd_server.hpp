#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace devices::storage {

/// nbdkit on a Unix socket of its own, which is there from the start: nobody waits for it.
class NbdServer {
 public:
  /// What tests that need it are skipped for, or nothing.
  [[nodiscard]] static std::string missing();

  /// `arguments` of nbdkit: a plugin, and what is for it.
  explicit NbdServer(std::vector<std::string> arguments);
  ~NbdServer();
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;

  [[nodiscard]] std::string uri(const std::string& name = "") const;
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }

  /// It does nothing more, on return.
  void stop() const;
  void go_on() const;
  void kill();
  void start(const std::vector<std::string>& arguments);

 private:
  std::string directory_;
  pid_t pid_ = -1;
};

}  // namespace devices::storage
