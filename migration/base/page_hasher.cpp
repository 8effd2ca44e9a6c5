#include "migration/base/page_hasher.hpp"

#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace migration {

namespace {

constexpr std::array<unsigned char, 12> kNonce{};

EVP_CIPHER_CTX* context_of(void* context) { return static_cast<EVP_CIPHER_CTX*>(context); }

void check(int result) {
  if (result != 1) throw std::runtime_error("libcrypto cannot compute AES-128-GCM");
}

}  // namespace

HashKey random_hash_key() {
  HashKey key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return key;
}

void PageHasher::Free::operator()(void* context) const { EVP_CIPHER_CTX_free(context_of(context)); }

PageHasher::PageHasher(const HashKey& key) : context_(EVP_CIPHER_CTX_new()) {
  if (!context_) throw std::runtime_error("libcrypto is out of memory");
  check(EVP_EncryptInit_ex(context_of(context_.get()), EVP_aes_128_gcm(), nullptr,
                           reinterpret_cast<const unsigned char*>(key.data()), kNonce.data()));
}

PageHash PageHasher::operator()(std::span<const std::byte> page) {
  EVP_CIPHER_CTX* const context = context_of(context_.get());
  PageHash hash{};
  int written = 0;
  check(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, kNonce.data()));
  check(EVP_EncryptUpdate(context, nullptr, &written,
                          reinterpret_cast<const unsigned char*>(page.data()),
                          static_cast<int>(page.size())));
  std::array<unsigned char, 16> rest{};
  check(EVP_EncryptFinal_ex(context, rest.data(), &written));
  check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(hash.size()),
                            hash.data()));
  return hash;
}

}  // namespace migration
