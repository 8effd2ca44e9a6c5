#pragma once

#include <sys/types.h>

#include <string>

#include "migration/net/socket.hpp"

namespace migration::net {

/// The file of a Unix socket that this process listens on. Of two processes that want one path at
/// the same time one gets it; a file that a dead process has left is replaced, any other stays; and
/// what is removed in the end is this process's own file, whatever is at the path by then.
class SocketFile {
 public:
  /// Binds `acceptor`, which is open, and listens. The file is for this user alone. AddressError.
  SocketFile(Acceptor& acceptor, const Address& address);
  /// To be called while the acceptor is still open, so that nobody takes the file for a dead one's.
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

 private:
  const std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace migration::net
