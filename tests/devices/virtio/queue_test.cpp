#include "devices/virtio/queue.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <string>

#include "tests/devices/virtio/driver.hpp"

namespace devices::virtio {
namespace {

class QueueTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kRam = vmm::kMinMemory;

  [[nodiscard]] Queue queue(bool event_index = false) {
    return Queue(memory_, Driver::state(), event_index);
  }
  /// Why the device would need a reset.
  static std::string error_of(const std::function<void()>& act) {
    try {
      act();
      return "none";
    } catch (const QueueError& error) {
      return error.what();
    }
  }
  std::string error_of_take() {
    return error_of([this] { static_cast<void>(queue().take()); });
  }
  std::string error_of_state(const std::function<void(QueueState&)>& change) {
    QueueState state = Driver::state();
    change(state);
    return error_of([&] { Queue(memory_, state, false); });
  }
  /// One request of a byte, which the device writes.
  void offer_byte(std::uint16_t head) {
    driver_.describe(head, {Driver::kData + head, 1, kDescriptorWrite, 0});
    driver_.offer(head);
  }
  [[nodiscard]] std::vector<vmm::PageIndex> written_pages() {
    vmm::PageSet pages(memory_.page_count());
    memory_.take_host_writes(pages);
    std::vector<vmm::PageIndex> list;
    for (const vmm::PageRange& range : pages.ranges()) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) list.push_back(page);
    }
    return list;
  }

  vmm::GuestMemory memory_{kRam};
  Driver driver_{memory_};
};

TEST_F(QueueTest, HasNoRequestAtFirst) {
  EXPECT_FALSE(queue().take());
  EXPECT_EQ(queue().state(), Driver::state());
}

TEST_F(QueueTest, TakesAChainInItsOrder) {
  driver_.describe({{Driver::kData, 3, kDescriptorNext, 1},
                    {Driver::kData + 16, 5, kDescriptorNext, 2},
                    {Driver::kData + 32, 7, kDescriptorWrite, 0}});
  driver_.offer(0);
  Queue queue = this->queue();
  const auto request = queue.take();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->head, 0);
  ASSERT_EQ(request->readable.size(), 2U);
  EXPECT_EQ(request->readable[0].data(), memory_.at({Driver::kData}, 3).data());
  EXPECT_EQ(request->readable[1].size(), 5U);
  ASSERT_EQ(request->writable.size(), 1U);
  EXPECT_EQ(request->writable[0].size(), 7U);
  EXPECT_FALSE(queue.take());
  EXPECT_EQ(queue.in_flight(), 1);
}

TEST_F(QueueTest, TakesAnIndirectChain) {
  driver_.put(0x5000, Descriptor{Driver::kData, 8, kDescriptorNext, 1});
  driver_.put(0x5010, Descriptor{Driver::kData + 8, 9, kDescriptorWrite, 0});
  driver_.describe(3, {0x5000, 32, kDescriptorIndirect, 0});
  driver_.offer(3);
  Queue queue = this->queue();
  const auto request = queue.take();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->head, 3);
  EXPECT_EQ(request->readable.size(), 1U);
  EXPECT_EQ(request->writable.size(), 1U);
}

TEST_F(QueueTest, SaysWhatIsDoneAndNotesWhatWasWritten) {
  const std::uint64_t far = kRam / 2;  // across a page's end
  driver_.describe({{far - 2, 4, kDescriptorWrite | kDescriptorNext, 1},
                    {kRam - 4096, 4096, kDescriptorWrite, 0}});
  driver_.offer(0);
  Queue queue = this->queue();
  const Request request = queue.take().value();
  EXPECT_TRUE(written_pages().empty());
  queue.complete(request, 4);
  EXPECT_EQ(driver_.used(), 1);
  EXPECT_EQ(driver_.used_element(0).head, 0U);
  EXPECT_EQ(driver_.used_element(0).length, 4U);
  EXPECT_EQ(written_pages(),
            (std::vector<vmm::PageIndex>{3, far / vmm::kPageSize - 1, far / vmm::kPageSize}));
  EXPECT_EQ(queue.in_flight(), 0);
}

TEST_F(QueueTest, CompletesInAnyOrder) {
  offer_byte(0);
  offer_byte(1);
  Queue queue = this->queue();
  const Request first = queue.take().value();
  const Request second = queue.take().value();
  queue.complete(second, 1);
  queue.complete(first, 0);
  EXPECT_EQ(driver_.used_element(0).head, 1U);
  EXPECT_EQ(driver_.used_element(1).head, 0U);
}

TEST_F(QueueTest, GoesRoundAndItsCountersWrap) {
  QueueState state = Driver::state();
  state.next_available = state.next_used = 0xfffd;
  driver_.set_index(0xfffd);
  Queue queue(memory_, state, false);
  for (std::uint16_t i = 0; i < 6; ++i) {
    offer_byte(i);
    queue.complete(queue.take().value(), 1);
  }
  EXPECT_EQ(queue.state().next_available, 3);
  EXPECT_EQ(driver_.used(), 3);
  EXPECT_EQ(driver_.used_element(2).head, 5U);
}

TEST_F(QueueTest, GoesOnElsewhereWithWhatWasNotTaken) {
  offer_byte(0);
  offer_byte(1);
  Queue here = queue();
  here.complete(here.take().value(), 1);
  Queue there(memory_, here.state(), false);
  EXPECT_EQ(there.take().value().head, 1);
  EXPECT_FALSE(there.take());
}

TEST_F(QueueTest, AsksWhetherTheDriverWantsAnInterrupt) {
  Queue queue = this->queue();
  EXPECT_TRUE(queue.wants_interrupt());
  driver_.set_flags(DriverArea::kNoInterrupt);
  EXPECT_FALSE(queue.wants_interrupt());
}

TEST_F(QueueTest, InterruptsWhenTheDriversEventIsPassed) {
  Queue queue = this->queue(true);
  const auto serve = [&](std::uint16_t head) {
    offer_byte(head);
    queue.complete(queue.take().value(), 1);
  };
  driver_.set_used_event(0);
  serve(0);
  EXPECT_TRUE(queue.wants_interrupt());  // for the first it always does
  EXPECT_FALSE(queue.wants_interrupt());
  driver_.set_used_event(2);
  serve(1);
  EXPECT_FALSE(queue.wants_interrupt());
  serve(2);
  EXPECT_TRUE(queue.wants_interrupt());
  serve(3);
  EXPECT_FALSE(queue.wants_interrupt());  // the event lies behind
}

TEST_F(QueueTest, TellsTheDriverWhenToNotify) {
  Queue queue = this->queue();
  queue.look_by_itself();
  EXPECT_EQ(driver_.device_flags(), DeviceArea::kNoNotify);
  EXPECT_FALSE(queue.await_notification());
  EXPECT_EQ(driver_.device_flags(), 0);
  offer_byte(0);
  EXPECT_TRUE(queue.await_notification());
  EXPECT_EQ(written_pages(), std::vector<vmm::PageIndex>{3});
}

TEST_F(QueueTest, TellsTheDriverOfWhichRequestToNotify) {
  Queue queue = this->queue(true);
  offer_byte(0);
  EXPECT_TRUE(queue.await_notification());
  queue.complete(queue.take().value(), 1);
  EXPECT_FALSE(queue.await_notification());
  EXPECT_EQ(driver_.available_event(), 1);
  queue.look_by_itself();
  EXPECT_EQ(driver_.device_flags(), 0);
}

TEST_F(QueueTest, RefusesAnUnsoundPlace) {
  for (const int size : {0, 3, 7, 0x8001}) {
    EXPECT_NE(
        error_of_state([&](QueueState& state) { state.size = static_cast<std::uint16_t>(size); }),
        "none")
        << size;
  }
  struct Place {
    std::uint64_t QueueState::*address;
    std::uint64_t alignment;
  };
  for (const Place& place :
       {Place{&QueueState::descriptors, 16}, Place{&QueueState::driver_area, 2},
        Place{&QueueState::device_area, 4}}) {
    for (const std::uint64_t address :
         {Driver::state().*place.address + place.alignment / 2, kRam, kRam - place.alignment,
          vmm::kHoleStart, ~std::uint64_t{0}, ~std::uint64_t{0} - 15}) {
      const auto move = [&](QueueState& state) { state.*place.address = address; };
      EXPECT_NE(error_of_state(move), "none") << address;
    }
  }
}

struct Broken {
  const char* name;
  std::vector<Descriptor> chain;  ///< from descriptor 0
};

TEST_F(QueueTest, NeedsAResetAfterABrokenChain) {
  constexpr std::uint64_t kAt = Driver::kData;
  driver_.put(0x5000, Descriptor{0x5000, 16, kDescriptorIndirect, 0});
  driver_.put(0x6000, Descriptor{kAt, 1, kDescriptorNext, 2});
  const std::vector<Broken> cases = {
      {"leads into itself", {{kAt, 1, kDescriptorNext, 0}}},
      {"goes in a circle", {{kAt, 1, kDescriptorNext, 1}, {kAt, 1, kDescriptorNext, 0}}},
      {"goes on outside the table", {{kAt, 1, kDescriptorNext, Driver::kSize}}},
      {"of no bytes", {{kAt, 0, 0, 0}}},
      {"outside RAM", {{kRam, 1, 0, 0}}},
      {"past the end of RAM", {{kRam - 1, 2, 0, 0}}},
      {"in the hole", {{vmm::kHoleStart, 1, 0, 0}}},
      {"that wraps", {{~std::uint64_t{0}, 2, 0, 0}}},
      {"with 4 GiB", {{kAt, 0xffffffff, 0, 0}}},
      {"of more bytes than there is RAM", {{0, kRam, kDescriptorNext, 1}, {kAt, 1, 0, 0}}},
      {"that reads behind what it writes",
       {{kAt, 1, kDescriptorWrite | kDescriptorNext, 1}, {kAt, 1, 0, 0}}},
      {"indirect, of half an entry", {{0x6000, 24, kDescriptorIndirect, 0}}},
      {"indirect, of no entry", {{0x6000, 0, kDescriptorIndirect, 0}}},
      {"indirect, longer than the queue", {{0x6000, 16 * 9, kDescriptorIndirect, 0}}},
      {"indirect, outside RAM", {{kRam, 16, kDescriptorIndirect, 0}}},
      {"indirect, that goes on", {{0x6000, 16, kDescriptorIndirect | kDescriptorNext, 1}}},
      {"indirect, to be written", {{0x6000, 16, kDescriptorIndirect | kDescriptorWrite, 0}}},
      {"indirect, within an indirect one", {{0x5000, 16, kDescriptorIndirect, 0}}},
      {"indirect, and goes on outside", {{0x6000, 32, kDescriptorIndirect, 0}}},
      {"with an indirect one within",
       {{kAt, 1, kDescriptorNext, 1}, {0x6000, 16, kDescriptorIndirect, 0}}},
  };
  for (const Broken& broken : cases) {
    driver_.set_index(0);
    driver_.describe(broken.chain);
    driver_.offer(0);
    EXPECT_NE(error_of_take(), "none") << broken.name;
  }
}

TEST_F(QueueTest, GivesUpMakingARequestPresent) {
  for (const std::uint16_t flags : {std::uint16_t{0}, kDescriptorWrite}) {
    vmm::GuestMemory memory(kRam, vmm::Backing::memfd);
    Driver driver(memory);
    driver.describe(0, {kRam / 2, kRam / 2, flags, 0});
    driver.offer(0);
    Queue queue(memory, Driver::state(), false);
    const Request request = queue.take().value();
    int looks = 0;
    EXPECT_FALSE(queue.make_present(request, true, [&] { return ++looks > 2; }));
    vmm::PageSet there(memory.page_count());
    const vmm::PageRange named{kRam / 2 / vmm::kPageSize, kRam / 2 / vmm::kPageSize};
    memory.add_populated(named, there);
    EXPECT_GT(there.count(), 0U);
    EXPECT_LT(there.count(), named.count);
    EXPECT_TRUE(queue.make_present(request, true, [] { return false; }));
  }
}

TEST_F(QueueTest, NeedsAResetAfterAHeadOutsideTheTable) {
  driver_.offer(Driver::kSize);
  EXPECT_NE(error_of_take(), "none");
}

TEST_F(QueueTest, NeedsAResetWhenTheIndexJumps) {
  driver_.set_index(Driver::kSize + 1);
  EXPECT_NE(error_of_take(), "none");
  driver_.set_index(0xffff);  // back
  EXPECT_NE(error_of_take(), "none");
}

TEST_F(QueueTest, NeedsAResetWhenMoreIsOfferedThanItHas) {
  Queue queue = this->queue();
  std::vector<Request> taken;
  for (int i = 0; i < Driver::kSize; ++i) {
    offer_byte(0);  // again and again
    taken.push_back(queue.take().value());
  }
  offer_byte(0);
  EXPECT_NE(error_of([&] { static_cast<void>(queue.take()); }), "none");
}

TEST_F(QueueTest, TakesAChainAsLongAsItself) {
  std::vector<Descriptor> chain;
  for (std::uint16_t i = 0; i < Driver::kSize; ++i) {
    const bool last = i + 1 == Driver::kSize;
    chain.push_back({Driver::kData + i, 1, last ? std::uint16_t{0} : kDescriptorNext,
                     static_cast<std::uint16_t>(i + 1)});
  }
  driver_.describe(chain);
  driver_.offer(0);
  EXPECT_EQ(error_of_take(), "none");
}

TEST_F(QueueTest, NamesThePagesThatAreTouchedFirst) {
  const auto page_at = [](std::uint64_t number) { return Driver::kData + number * vmm::kPageSize; };
  Queue queue = this->queue();
  for (std::uint16_t head = 0; head < 3; ++head) {
    driver_.describe(head, {page_at(head), 100, kDescriptorWrite, 0});
    driver_.offer(head);
    queue.complete(*queue.take(), 100);
  }
  driver_.describe(3, {page_at(10), 2 * vmm::kPageSize, kDescriptorNext, 4});
  driver_.describe(4, {page_at(20), 1, kDescriptorWrite, 0});
  driver_.offer(3);
  using Pages = std::vector<vmm::PageIndex>;
  // Its areas, what waits, what was done last.
  EXPECT_EQ(queue.working_set(100), (Pages{1, 2, 3, 26, 27, 36, 18, 17, 16}));
  EXPECT_EQ(queue.working_set(5), (Pages{1, 2, 3, 26, 27}));
  EXPECT_EQ(queue.working_set(0), Pages{});
  // What is not sound is left out, and nothing else.
  driver_.describe(4, {kRam, 1, kDescriptorWrite, 0});
  EXPECT_EQ(queue.working_set(100), (Pages{1, 2, 3, 18, 17, 16}));
  // A table of descriptors comes before what they name.
  driver_.put(page_at(30), Descriptor{page_at(31), 1, kDescriptorWrite, 0});
  driver_.describe(3, {page_at(30), sizeof(Descriptor), kDescriptorIndirect, 0});
  EXPECT_EQ(queue.working_set(100), (Pages{1, 2, 3, 46, 47, 18, 17, 16}));
  // An index of nonsense leads to no more than the queue's entries.
  driver_.set_index(0x7777);
  for (const vmm::PageIndex page : queue.working_set(6)) EXPECT_LT(page, memory_.page_count());
  EXPECT_EQ(queue.working_set(6).size(), 6U);
}

}  // namespace
}  // namespace devices::virtio
