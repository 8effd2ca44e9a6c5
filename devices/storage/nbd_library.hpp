#pragma once

#include <libnbd.h>

namespace devices::storage {

/// What is used of libnbd. It brings libraries for TLS and XML with it: it is loaded where there is
/// a disk that needs it.
class NbdLibrary {
  struct Symbol {
    void* address;
    template <typename Function>
    explicit operator Function*() const {
      return reinterpret_cast<Function*>(address);
    }
  };

  void* const library_;

  NbdLibrary();
  [[nodiscard]] static void* load();
  [[nodiscard]] Symbol symbol(const char* name) const;

 public:
  /// std::system_error when the host has none: it names the package.
  [[nodiscard]] static const NbdLibrary& get();

  decltype(&::nbd_create) create{symbol("nbd_create")};
  decltype(&::nbd_close) close{symbol("nbd_close")};
  decltype(&::nbd_get_error) get_error{symbol("nbd_get_error")};
  decltype(&::nbd_get_errno) get_errno{symbol("nbd_get_errno")};
  decltype(&::nbd_set_uri_allow_local_file) set_uri_allow_local_file{
      symbol("nbd_set_uri_allow_local_file")};
  decltype(&::nbd_aio_connect_uri) connect_uri{symbol("nbd_aio_connect_uri")};
  decltype(&::nbd_aio_get_fd) get_fd{symbol("nbd_aio_get_fd")};
  decltype(&::nbd_aio_get_direction) get_direction{symbol("nbd_aio_get_direction")};
  decltype(&::nbd_aio_notify_read) notify_read{symbol("nbd_aio_notify_read")};
  decltype(&::nbd_aio_notify_write) notify_write{symbol("nbd_aio_notify_write")};
  decltype(&::nbd_aio_is_ready) is_ready{symbol("nbd_aio_is_ready")};
  decltype(&::nbd_aio_is_dead) is_dead{symbol("nbd_aio_is_dead")};
  decltype(&::nbd_aio_is_closed) is_closed{symbol("nbd_aio_is_closed")};
  decltype(&::nbd_get_size) get_size{symbol("nbd_get_size")};
  decltype(&::nbd_get_block_size) get_block_size{symbol("nbd_get_block_size")};
  decltype(&::nbd_get_export_name) get_export_name{symbol("nbd_get_export_name")};
  decltype(&::nbd_is_read_only) is_read_only{symbol("nbd_is_read_only")};
  decltype(&::nbd_can_flush) can_flush{symbol("nbd_can_flush")};
  decltype(&::nbd_can_trim) can_trim{symbol("nbd_can_trim")};
  decltype(&::nbd_can_zero) can_zero{symbol("nbd_can_zero")};
  decltype(&::nbd_can_multi_conn) can_multi_conn{symbol("nbd_can_multi_conn")};
  decltype(&::nbd_aio_pread) pread{symbol("nbd_aio_pread")};
  decltype(&::nbd_aio_pwrite) pwrite{symbol("nbd_aio_pwrite")};
  decltype(&::nbd_aio_flush) flush{symbol("nbd_aio_flush")};
  decltype(&::nbd_aio_trim) trim{symbol("nbd_aio_trim")};
  decltype(&::nbd_aio_zero) zero{symbol("nbd_aio_zero")};
  decltype(&::nbd_aio_disconnect) disconnect{symbol("nbd_aio_disconnect")};
};

}  // namespace devices::storage
