#include "migration/pages/verify.hpp"

#include <gtest/gtest.h>

#include <string>

namespace migration {
namespace {

constexpr std::uint64_t kRamBytes = 16U << 20;

void write(vmm::GuestMemory& memory, vmm::PageIndex page, std::uint64_t offset, int value) {
  memory.pages({page, 1})[offset] = static_cast<std::byte>(value);
}

/// What the destination says of the source's RAM; empty when it agrees.
std::string compare(const vmm::GuestMemory& source, const vmm::GuestMemory& destination) {
  RamVerifier verifier(destination);
  for (const vmm::PageRange& piece : pages_to_digest(source)) {
    verifier.check({piece, digest(source, piece)});
  }
  return verifier.finish().value_or("");
}

class Verify : public testing::Test {
 protected:
  Verify() {
    for (vmm::GuestMemory* memory : {&source_, &destination_}) {
      write(*memory, 0, 0, 1);
      write(*memory, 4095, 4095, 2);
    }
  }

  vmm::GuestMemory source_{kRamBytes, vmm::Backing::memfd};
  vmm::GuestMemory destination_{kRamBytes, vmm::Backing::memfd};
};

TEST_F(Verify, AgreesOnEqualMemory) { EXPECT_EQ(compare(source_, destination_), ""); }

TEST_F(Verify, NamesTheFirstPageThatDiffersByOneByte) {
  write(destination_, 4095, 17, 9);
  EXPECT_EQ(compare(source_, destination_), "the page at guest address 0xfff000 differs");
  write(destination_, 0, 4095, 9);
  EXPECT_EQ(compare(source_, destination_), "the page at guest address 0x0 differs");
}

TEST_F(Verify, MissesAPageThatDidNotArrive) {
  write(source_, 77, 0, 1);
  EXPECT_EQ(compare(source_, destination_), "the page at guest address 0x4d000 differs");
}

TEST_F(Verify, SeesAPageThatTheSourceNeverTouched) {
  write(destination_, 78, 1, 1);
  EXPECT_EQ(compare(source_, destination_), "the page at guest address 0x4e000 differs");
}

TEST_F(Verify, LooksAtEachPageOnce) {
  RamVerifier verifier(destination_);
  verifier.check({{10, 5}, digest(source_, {10, 5})});
  verifier.check({{15, 5}, digest(source_, {15, 5})});
  EXPECT_THROW(verifier.check({{8, 3}, digest(source_, {8, 3})}), wire::ProtocolError);
}

TEST_F(Verify, TakesAZeroPageForOneThatWasNeverTouched) {
  write(source_, 79, 0, 0);
  write(destination_, 80, 0, 0);
  EXPECT_EQ(compare(source_, destination_), "");
}

}  // namespace
}  // namespace migration
