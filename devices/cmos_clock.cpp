#include "devices/cmos_clock.hpp"

#include <algorithm>
#include <stdexcept>

namespace devices {

namespace {

using std::chrono::floor;
using TimePoint = std::chrono::system_clock::time_point;

constexpr std::uint64_t kIndexPort = 0;    // port 0x70
constexpr std::uint64_t kDataPort = 1;     // port 0x71
constexpr std::uint8_t kIndexMask = 0x7f;  // the upper bit masks NMIs

/// Its registers.
constexpr std::uint8_t kSeconds = 0x0;
constexpr std::uint8_t kMinutes = 0x2;
constexpr std::uint8_t kHours = 0x4;
constexpr std::uint8_t kWeekday = 0x6;
constexpr std::uint8_t kDay = 0x7;
constexpr std::uint8_t kMonth = 0x8;
constexpr std::uint8_t kYear = 0x9;
constexpr std::uint8_t kRegisterA = 0xa;
constexpr std::uint8_t kRegisterB = 0xb;
constexpr std::uint8_t kRegisterD = 0xd;

constexpr std::uint8_t kDivider = 0x26;  // register A: 32768 Hz, as every PC has it
constexpr std::uint8_t kUpdating = 0x80;
constexpr std::uint8_t kMode24Hours = 0x02;  // register B: BCD, no interrupt
constexpr std::uint8_t kValid = 0x80;        // register D: the battery is good

/// For so long before the next second "update in progress" is on: who sees it off has that time to
/// read.
constexpr std::chrono::microseconds kUpdate{244};

std::uint8_t bcd(unsigned value) { return static_cast<std::uint8_t>(value / 10 * 16 + value % 10); }

std::uint8_t date_register(std::uint8_t index, std::chrono::sys_days days) {
  const std::chrono::year_month_day date(days);
  const auto years = static_cast<unsigned>(static_cast<int>(date.year()));
  switch (index) {
    case kWeekday: return bcd(std::chrono::weekday(days).c_encoding() + 1);  // Sunday is 1
    case kDay: return bcd(static_cast<unsigned>(date.day()));
    case kMonth: return bcd(static_cast<unsigned>(date.month()));
    case kYear: return bcd(years % 100);
    case CmosClock::kCentury: return bcd(years / 100);
    default: return 0;
  }
}

std::uint8_t value_of(std::uint8_t index, TimePoint now) {
  const auto days = floor<std::chrono::days>(now);
  const std::chrono::hh_mm_ss time(now - days);
  switch (index) {
    case kSeconds: return bcd(static_cast<unsigned>(time.seconds().count()));
    case kMinutes: return bcd(static_cast<unsigned>(time.minutes().count()));
    case kHours: return bcd(static_cast<unsigned>(time.hours().count()));
    case kRegisterA:
      return time.subseconds() >= std::chrono::seconds(1) - kUpdate ? kDivider | kUpdating
                                                                    : kDivider;
    case kRegisterB: return kMode24Hours;
    case kRegisterD: return kValid;
    default: return date_register(index, days);
  }
}

}  // namespace

void CmosClock::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (offset != kDataPort) return;
  const vmm::Lock lock(mutex_);
  data.front() = std::byte{value_of(index_, now_())};
}

void CmosClock::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset != kIndexPort) return;
  const vmm::Lock lock(mutex_);
  index_ = std::to_integer<std::uint8_t>(data.front()) & kIndexMask;
}

std::vector<std::byte> CmosClock::save() {
  const vmm::Lock lock(mutex_);
  return {std::byte{index_}};
}

void CmosClock::load(std::uint32_t saved_version, std::span<const std::byte> bytes) {
  if (saved_version != version() || bytes.size() != 1 ||
      std::to_integer<std::uint8_t>(bytes.front()) > kIndexMask) {
    throw std::invalid_argument("saved state of cmos-clock: of another version, or unsound");
  }
  const vmm::Lock lock(mutex_);
  index_ = std::to_integer<std::uint8_t>(bytes.front());
}

}  // namespace devices
