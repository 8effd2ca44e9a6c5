#include "migration/pages/shared_page.hpp"

#include "migration/wire/format.hpp"
#include "vmm/bytes/copy_bytes.hpp"

namespace migration {

void read_shared_page(net::BufferedReader& in, std::size_t bytes, std::span<std::byte> page) {
  if (bytes != wire::kWordBytes && bytes != page.size()) {
    throw wire::ProtocolError("the peer sent a frame whose pages do not fill it");
  }
  const auto content = in.take(bytes);
  for (std::size_t at = 0; at < page.size(); at += bytes) {
    vmm::copy_bytes(content, page.subspan(at));
  }
}

}  // namespace migration
