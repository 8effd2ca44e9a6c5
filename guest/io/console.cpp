#include "guest/io/console.hpp"

#include "guest/cpu/atomic.hpp"
#include "guest/cpu/instructions.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/cpu/service.hpp"

namespace guest {
namespace {

constexpr std::uint16_t kSerialBase = 0x3f8;
constexpr std::uint16_t kDataPort = kSerialBase;
constexpr std::uint16_t kInterruptEnablePort = kSerialBase + 1;
constexpr std::uint16_t kFifoControlPort = kSerialBase + 2;
constexpr std::uint16_t kModemControlPort = kSerialBase + 4;
constexpr std::uint16_t kLineStatusPort = kSerialBase + 5;
constexpr std::uint8_t kLineStatusDataReady = 0x01;
constexpr std::uint8_t kLineStatusTransmitterEmpty = 0x20;
constexpr std::uint8_t kModemOut2GatesInterrupt = 0x0b;
constexpr std::uint16_t kExitPort = 0xf4;

constinit Atomic<bool> busy;
bool line_begins;  // "# hello" is begun by its first byte

/// Lines of several vCPUs must not mix.
class Turn {
 public:
  Turn() {
    while (busy.exchange(true)) relax();
  }
  ~Turn() { busy.store(false); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

void send(char character) {
  while ((in8(kLineStatusPort) & kLineStatusTransmitterEmpty) == 0) relax();
  out8(kDataPort, static_cast<std::uint8_t>(character));
  line_begins = character == '\n';
}

void send(const char* text, std::size_t size, Stall* watch = nullptr) {
  for (std::size_t i = 0; i < size; ++i) {
    send(text[i]);
    if (watch != nullptr) watch->look(read_tsc());
  }
}

void send_line(const char* prefix, const Line& line, Stall* watch = nullptr) {
  if (!line_begins) send('\n');
  for (; *prefix != '\0'; ++prefix) send(*prefix);
  send(line.data(), line.size(), watch);
  send('\n');
}

}  // namespace

void console_first_byte() { out8(kDataPort, '#'); }

void print(const Line& line, Stall* watch) {
  const Turn turn;
  send_line("# ", line, watch);
}

void print_hello(const Line& line) {
  const Turn turn;
  send(line.data(), line.size());
  send('\n');
}

void print_tick(char letter) {
  const Turn turn;
  send(letter);
  if (letter == 'z') send('\n');
}

void fail(ExitCode code, const Line& line) {
  while (busy.exchange(true)) relax();
  send_line("# error ", line);
  // The turn is never given back: the first failure is the one that is told.
  leave(code);
}

void leave(ExitCode code) {
  out8(kExitPort, static_cast<std::uint8_t>(code));
  for (;;) call_service<GUEST_SERVICE_HALT>();
}

void console_receive(bool interrupts) {
  out8(kFifoControlPort, 0x01);
  if (interrupts) {
    out8(kModemControlPort, kModemOut2GatesInterrupt);
    out8(kInterruptEnablePort, 0x01);
  }
}

int receive() {
  if ((in8(kLineStatusPort) & kLineStatusDataReady) == 0) return -1;
  return in8(kDataPort);
}

}  // namespace guest
