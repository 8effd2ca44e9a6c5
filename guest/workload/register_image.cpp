#include "guest/workload/register_image.hpp"

#include "guest/cpu/freestanding.hpp"
#include "guest/cpu/service.hpp"
#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint32_t kCpuid1EcxXsave = 1u << 26;
constexpr std::uint64_t kCr4Osxsave = 1u << 18;
constexpr std::uint32_t kX87Sse = 0x3;
constexpr std::uint32_t kAvx = 0x4;
constexpr std::uint32_t kAvx512 = 0xe0;

// Offsets in the legacy part of the XSAVE area (SDM volume 1, table 10-2).
constexpr std::size_t kFcw = 0;
constexpr std::size_t kFsw = 2;
constexpr std::size_t kFtw = 4;
constexpr std::size_t kMxcsr = 24;
constexpr std::size_t kSt = 32;
constexpr std::size_t kXmm = 160;
constexpr std::size_t kXmmEnd = 416;
constexpr std::size_t kXstateBv = 512;
constexpr std::size_t kHeaderEnd = 576;

// Carry to overflow, and the direction: what CPL 3 may set without side effects.
constexpr std::uint64_t kHeldFlags = 0xcd5;
// Set besides: with IOPL 3, CPL 3 could clear it.
constexpr std::uint64_t kInterruptFlag = 0x200;

const char* const kGeneralNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

/// How the parts above the legacy one are told apart, by component number.
struct Component {
  const char* name;
  std::uint32_t register_size;
  std::uint32_t first_register;
};
constexpr Component kComponentNames[8] = {
    {nullptr, 0, 0}, {nullptr, 0, 0}, {"ymm-high", 16, 0}, {nullptr, 0, 0},
    {nullptr, 0, 0}, {"k", 8, 0},     {"zmm-high", 32, 0}, {"zmm", 64, 16},
};

template <typename Value>
Value load(const std::uint8_t* area, std::size_t offset) {
  Value value;
  memcpy(&value, area + offset, sizeof(value));
  return value;
}

template <typename Value>
void store(std::uint8_t* area, std::size_t offset, Value value) {
  memcpy(area + offset, &value, sizeof(value));
}

void fill(std::uint8_t* area, std::size_t begin, std::size_t end, Random& random) {
  for (std::size_t offset = begin; offset < end; offset += 8) store(area, offset, random.next());
}

RegisterChange difference(const char* name, std::uint64_t got, std::uint64_t want) {
  if (got == want) return {};
  return {name, false, 0, got, want};
}

RegisterChange compare_range(const char* name, const std::uint8_t* got, const std::uint8_t* want,
                             std::size_t begin, std::size_t end, std::size_t register_size,
                             std::uint64_t first_register) {
  for (std::size_t offset = begin; offset < end; offset += 8) {
    const auto was = load<std::uint64_t>(want, offset);
    const auto is = load<std::uint64_t>(got, offset);
    if (is != was) {
      return {name, true, first_register + (offset - begin) / register_size, is, was};
    }
  }
  return {};
}

RegisterChange compare_general(const RegisterImage& got, const RegisterImage& want) {
  for (std::size_t i = 0; i < 16; ++i) {
    const bool is_stack_pointer = i == GUEST_FILE_RSP / 8;
    if (is_stack_pointer || got.general[i] == want.general[i]) continue;
    return difference(kGeneralNames[i], got.general[i], want.general[i]);
  }
  if (auto change = difference("rflags", got.rflags & kHeldFlags, want.rflags & kHeldFlags);
      change.name != nullptr) {
    return change;
  }
  if (auto change = difference("ds", got.ds, want.ds); change.name != nullptr) return change;
  if (auto change = difference("es", got.es, want.es); change.name != nullptr) return change;
  if (auto change = difference("fs", got.fs, want.fs); change.name != nullptr) return change;
  if (auto change = difference("gs", got.gs, want.gs); change.name != nullptr) return change;
  if (auto change = difference("fs:0", got.fs_word, want.fs_word); change.name != nullptr) {
    return change;
  }
  return difference("gs:0", got.gs_word, want.gs_word);
}

RegisterChange compare_legacy(const std::uint8_t* got, const std::uint8_t* want) {
  constexpr std::uint64_t kControlWords = 0x0000'00ff'ffff'ffff;  // FCW, FSW, FTW
  if (auto change = difference("fcw-fsw-ftw", load<std::uint64_t>(got, kFcw) & kControlWords,
                               load<std::uint64_t>(want, kFcw) & kControlWords);
      change.name != nullptr) {
    return change;
  }
  if (auto change =
          difference("mxcsr", load<std::uint32_t>(got, kMxcsr), load<std::uint32_t>(want, kMxcsr));
      change.name != nullptr) {
    return change;
  }
  if (auto change = compare_range("st", got, want, kSt, kXmm, 16, 0); change.name != nullptr) {
    return change;
  }
  return compare_range("xmm", got, want, kXmm, kXmmEnd, 16, 0);
}

}  // namespace

void RegisterLayout::enable() {
  if ((cpuid(1).ecx & kCpuid1EcxXsave) == 0) return;
  call_service<GUEST_SERVICE_WRITE_CR4>(call_service<GUEST_SERVICE_READ_CR4>() | kCr4Osxsave);
  const std::uint32_t supported = cpuid(0xd).eax;
  components_ = kX87Sse | (supported & kAvx);
  if ((supported & (kAvx | kAvx512)) == (kAvx | kAvx512)) components_ |= kAvx512;
  for (std::uint32_t i = 2; i < kAreas; ++i) {
    if ((components_ >> i & 1) == 0) continue;
    const CpuidResult area = cpuid(0xd, i);
    size_[i] = area.eax;
    offset_[i] = area.ebx;
    if (offset_[i] < kHeaderEnd || offset_[i] + size_[i] > sizeof(RegisterImage::xsave)) {
      fail(ExitCode::register_error, Line() << "reg component=" << i << " lies outside the area");
    }
  }
  call_service<GUEST_SERVICE_XSETBV>(components_);
}

void RegisterLayout::choose_values(RegisterImage& image, Random& random) const {
  for (auto& value : image.general) value = random.next();
  image.rflags = (random.next() & kHeldFlags) | kInterruptFlag;

  std::uint8_t* area = image.xsave;
  const std::uint64_t draw = random.next();
  const auto control = static_cast<std::uint16_t>(0x037f ^ (draw & 0x0c00));  // rounding
  const auto status = static_cast<std::uint16_t>((draw >> 16) & 0x7f00 & ~0x8000u);
  store<std::uint16_t>(area, kFcw, control);
  store<std::uint16_t>(area, kFsw, status);
  store<std::uint16_t>(area, kFtw, 0xff);
  // All exceptions masked; rounding, flush to zero and sticky flags vary.
  store<std::uint32_t>(area, kMxcsr, 0x1f80 | ((draw >> 32) & 0xe03f));
  for (std::size_t offset = kSt; offset < kXmm; offset += 16) {
    store(area, offset, random.next() | (std::uint64_t{1} << 63));  // a normal number's mantissa
    store<std::uint64_t>(area, offset + 8, 0x3f00 | (random.next() & 0xff));
  }
  fill(area, kXmm, kXmmEnd, random);
  store<std::uint64_t>(area, kXstateBv, components_);
  for (std::size_t i = 2; i < kAreas; ++i) {
    fill(area, offset_[i], offset_[i] + size_[i], random);
  }
}

RegisterChange RegisterLayout::compare(const RegisterImage& got, const RegisterImage& want) const {
  if (auto change = compare_general(got, want); change.name != nullptr) return change;
  if (auto change = compare_legacy(got.xsave, want.xsave); change.name != nullptr) return change;
  for (std::size_t i = 2; i < kAreas; ++i) {
    if (size_[i] == 0) continue;
    const Component& component = kComponentNames[i];
    auto change =
        compare_range(component.name, got.xsave, want.xsave, offset_[i], offset_[i] + size_[i],
                      component.register_size, component.first_register);
    if (change.name != nullptr) return change;
  }
  return {};
}

}  // namespace guest
