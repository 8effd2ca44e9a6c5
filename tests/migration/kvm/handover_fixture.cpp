#include "tests/migration/kvm/handover_fixture.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "devices/standard.hpp"

namespace migration {

namespace {

template <typename Value>
bool ready(const std::future<Value>& future) {
  return future.wait_for(vmm::kDeadline) == std::future_status::ready;
}

}  // namespace

HandoverTest::~HandoverTest() {
  outgoing_.reset();
  incoming_.reset();
}

Address HandoverTest::tcp() { return parse_address("tcp:127.0.0.1:0"); }

Address HandoverTest::unix_socket() {
  return parse_address("unix:" + ::testing::TempDir() + "ferry-" + vmm::make_uuid());
}

std::unique_ptr<vmm::Machine> HandoverTest::run_guest(const std::string& more) {
  auto machine = make_guest("tick=2 timer=100 regs fill=8 dirty=500 check " + more, 2);
  machine->resume();
  EXPECT_TRUE(output_.wait_for_tick_lines(1));
  return machine;
}

Address HandoverTest::receive(const Address& listen) {
  return receive(listen, [this](const vmm::MachineConfig& config, std::uint64_t, const MakeRam&) {
    static_cast<void>(devices::pci_devices_for(config.devices));
    return make_empty(config);
  });
}

Address HandoverTest::receive(const Address& listen, const Build& build) {
  const MachineFactory factory = [build](const vmm::MachineConfig& config, const auto&) {
    return [build, config](std::uint64_t used, const MakeRam& make_ram) {
      return build(config, used, make_ram);
    };
  };
  receiving_ = std::make_shared<Promises>();
  incoming_ = std::make_unique<DestinationMigration>(
      ReceiveOptions{.listen = listen}, factory,
      DestinationMigration::Callbacks{
          .listening = [to = receiving_](const Address& at) { to->listening.set_value(at); },
          .message = [](const std::string&) {},
          .arrived =
              [to = receiving_](std::unique_ptr<vmm::Machine> machine,
                                std::optional<DestinationMigration::KeptAtSource>) {
                to->arrived.set_value(std::move(machine));
              },
          .failed =
              [to = receiving_](const DestinationMigration::Failure& failure) {
                to->failed.set_value(failure.why);
              },
          .waiting_for_source = [](bool) {},
          .complete = [to = receiving_] { to->complete.set_value(); }});
  auto listening = receiving_->listening.get_future();
  if (!ready(listening)) throw std::runtime_error("the receiver does not listen");
  return listening.get();
}

void HandoverTest::migrate(std::unique_ptr<vmm::Machine> machine, MigrateOptions options,
                           std::function<void(const MigrationReport&)> progress) {
  sending_ = std::make_shared<Promises>();
  outgoing_ = std::make_unique<SourceMigration>(
      std::move(machine), std::move(options),
      SourceMigration::Callbacks{
          .progress =
              [to = sending_, progress = std::move(progress),
               told = false](const MigrationReport& report) mutable {
                if (!told && report.phase == "round 1" && report.wire_bytes > 0) {
                  told = true;
                  to->copying.set_value();
                }
                progress(report);
              },
          .in_doubt = [](const MigrationReport&) {},
          .ended = [to = sending_](
                       SourceMigration::Result result) { to->ended.set_value(std::move(result)); },
          .message =
              [to = sending_, told = false](const std::string& text) mutable {
                if (!std::exchange(told, true)) to->said.set_value(text);
              }});
}

MigrateOptions HandoverTest::slow(Address to) {
  return {.to = std::move(to), .max_bandwidth = 100'000, .compression = Compression::none};
}

bool HandoverTest::wait_copying() { return ready(sending_->copying.get_future()); }

SourceMigration::Result HandoverTest::wait_ended() {
  auto ended = sending_->ended.get_future();
  if (!ready(ended)) {
    const MigrationReport report = outgoing_->live();
    ADD_FAILURE() << "the migration goes on: " << report.phase << ", "
                  << report.error.value_or("no error");
    return {report, nullptr, false};
  }
  return ended.get();
}

std::unique_ptr<vmm::Machine> HandoverTest::wait_arrived() {
  auto arrived = receiving_->arrived.get_future();
  return ready(arrived) ? arrived.get() : nullptr;
}

bool HandoverTest::wait_complete() { return ready(receiving_->complete.get_future()); }

std::optional<MigrationReport> HandoverTest::wait_report() {
  const auto end = std::chrono::steady_clock::now() + vmm::kDeadline;
  while (std::chrono::steady_clock::now() < end) {
    if (auto report = incoming_->status().report) return report;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return std::nullopt;
}

std::string HandoverTest::wait_said() {
  auto said = sending_->said.get_future();
  return ready(said) ? said.get() : "nothing was said";
}

std::string HandoverTest::wait_failed() {
  auto failed = receiving_->failed.get_future();
  return ready(failed) ? failed.get() : "has not failed";
}

void HandoverTest::expect_ends_well(vmm::Machine& machine, std::size_t ticks) {
  const auto end = vmm::wait_end(machine);
  ASSERT_TRUE(end) << output_.text();
  EXPECT_EQ(end->code, 0) << output_.text();
  EXPECT_EQ(output_.ticks().size(), ticks);
  EXPECT_TRUE(output_.ticks_in_order());
}

void HandoverTest::expect_runs_here(const SourceMigration::Result& result) {
  EXPECT_TRUE(result.report.error);
  ASSERT_TRUE(result.machine);
  EXPECT_TRUE(result.machine->running());
  EXPECT_TRUE(output_.wait_for_ticks(20));
  result.machine->pause();
  EXPECT_FALSE(result.machine->ended()) << output_.text();
  EXPECT_TRUE(output_.ticks_in_order());
}

}  // namespace migration
