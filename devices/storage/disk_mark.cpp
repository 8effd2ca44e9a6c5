#include "devices/storage/disk_mark.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <string_view>
#include <system_error>

#include "vmm/text/printable.hpp"

namespace devices::storage {

namespace {

constexpr std::string_view kKind = "ferry-disk 1\n";
constexpr std::size_t kNameDigits = 32;
/// The writer of a mark that is new, or that people have deleted so that it was made anew.
constexpr std::string_view kNobody = "00000000000000000000000000000000";
/// All of a mark: it is written in one piece, over the one before.
constexpr std::size_t kBytes = 192;
constexpr std::size_t kRunnerDigits = 16;
constexpr std::string_view kRunner = "\nrunner ";
/// What there is room for.
constexpr std::size_t kLongestProcess = 76;

constexpr const char* kCannotNote =
    "whoever writes to the disk notes itself there before, and this process cannot: let it write "
    "that file, and have room for it";

std::string random_name() {
  std::array<std::uint64_t, 2> number{};
  if (::getrandom(number.data(), sizeof(number), 0) != sizeof(number)) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return fmt::format("{:016x}{:016x}", number[0], number[1]);
}

std::string this_process() {
  std::array<char, HOST_NAME_MAX + 1> host{};
  static_cast<void>(::gethostname(host.data(), host.size() - 1));
  return fmt::format("process {} on {}", ::getpid(), vmm::printable(host.data()))
      .substr(0, kLongestProcess);
}

std::string to_text(const DiskMark::Content& content) {
  std::string text =
      fmt::format("{}disk {}\nwriter {}\n{}", kKind, content.disk, content.writer, content.process);
  if (!content.runner.empty()) text.append(kRunner).append(content.runner);
  text.resize(kBytes - 1, ' ');
  return text + '\n';
}

bool is_name(std::string_view text, std::size_t digits = kNameDigits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// What follows `word` in its line, which is taken off `text`.
std::string_view take_line(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return {};
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return {};
  const std::string_view value = text.substr(word.size(), end - word.size());
  text.remove_prefix(end + 1);
  return value;
}

std::optional<DiskMark::Content> parsed(std::string_view text) {
  if (text.size() != kBytes || !text.starts_with(kKind)) return std::nullopt;
  text.remove_prefix(kKind.size());
  DiskMark::Content content;
  content.disk = take_line(text, "disk ");
  content.writer = take_line(text, "writer ");
  if (!is_name(content.disk) || !is_name(content.writer)) return std::nullopt;
  text = text.substr(0, text.find_last_not_of(" \n") + 1);
  if (const std::size_t at = text.find(kRunner); at != std::string_view::npos) {
    const std::string_view runner = text.substr(at + kRunner.size());
    if (is_name(runner, kRunnerDigits)) content.runner = runner;
    text = text.substr(0, at);
  }
  content.process = vmm::printable(text);
  return content;
}

/// The number of the mount that a file is reached by; 0 when the kernel does not tell.
std::uint64_t mount_of(int at, const char* path) {
  struct statx status {};
  if (::statx(at, path, AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0) return 0;
  return (status.stx_mask & STATX_MNT_ID) != 0 ? status.stx_mnt_id : 0;
}

std::filesystem::path beside(int image) {
  struct stat status {};
  // By another of its names it would have another mark.
  if (::fstat(image, &status) < 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1) return {};
  std::error_code unknown;
  auto path = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", image), unknown);
  if (unknown) return {};
  // An image may be mounted alone, under any name: what is beside it then is of another place.
  if (mount_of(image, "") != mount_of(AT_FDCWD, path.parent_path().c_str())) return {};
  return path += ".ferry";
}

/// Then there is no mark there, and there will be none.
bool tells_of_none(int error) {
  constexpr std::array kErrors = {ENOENT, ELOOP, ENAMETOOLONG, ENOTDIR, EISDIR};
  return std::ranges::find(kErrors, error) != kErrors.end();
}

}  // namespace

DiskMark::DiskMark(int image) : image_(image), path_(beside(image)), self_(random_name()) {}

vmm::UniqueFd DiskMark::open(int flags) const {
  return vmm::UniqueFd(
      ::open(path_.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, S_IRUSR | S_IWUSR));
}

std::optional<DiskMark::Content> DiskMark::read() const { return read(open(O_RDONLY)); }

std::optional<DiskMark::Content> DiskMark::read(const vmm::UniqueFd& file) const {
  if (file.get() < 0) {
    if (tells_of_none(errno)) return std::nullopt;
    fail("cannot open");
  }
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && !S_ISREG(status.st_mode)) return std::nullopt;
  std::array<char, kBytes + 1> bytes{};
  const ssize_t got = ::pread(file.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) fail("cannot read");
  return parsed({bytes.data(), static_cast<std::size_t>(got)});
}

std::optional<std::string> DiskMark::look_for_writer() {
  auto content = read(open(O_RDWR));  // it is to be written to, later
  if (!content) {
    make();
    content = read(open(O_RDWR));
  }
  if (!content) return std::nullopt;
  const vmm::Lock lock(mutex_);
  const std::string& writer = content->writer;
  if (writer_ && writer != *writer_ && writer != kNobody) return content->process;
  writer_ = writer;
  claimed_.store(writer == self_, std::memory_order_release);
  runner_noted_.store(content->runner == runner(), std::memory_order_release);
  return std::nullopt;
}

/// Whoever may open the image may open its mark.
void DiskMark::make() const {
  const vmm::UniqueFd file = open(O_RDWR | O_CREAT);
  struct stat now {};
  if (file.get() < 0 || ::fstat(file.get(), &now) < 0 || !S_ISREG(now.st_mode)) return;
  if (now.st_size != 0) return;  // another file of that name
  struct stat image {};
  if (::fstat(image_, &image) == 0) {
    static_cast<void>(::fchmod(file.get(), image.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO)));
    if (::fchown(file.get(), image.st_uid, image.st_gid) < 0) {
      static_cast<void>(::fchown(file.get(), static_cast<uid_t>(-1), image.st_gid));
    }
  }
  const std::string text = to_text({.disk = random_name(),
                                    .writer = std::string(kNobody),
                                    .process = "nobody yet",
                                    .runner = {}});
  static_cast<void>(::pwrite(file.get(), text.data(), text.size(), 0));
}

/// Others may write to it meanwhile.
void DiskMark::try_writing() const {
  const vmm::UniqueFd file = open(O_RDWR);
  if (file.get() < 0 && !tells_of_none(errno)) fail(kCannotNote);
  if (!read(file)) return;
  const auto size = static_cast<ssize_t>(kKind.size());
  if (::pwrite(file.get(), kKind.data(), kKind.size(), 0) != size || ::fdatasync(file.get()) < 0) {
    fail(kCannotNote);
  }
}

void DiskMark::note_writer() {
  const vmm::Lock lock(mutex_);
  if (claimed_.load(std::memory_order_relaxed)) return;
  const vmm::UniqueFd file = open(O_RDWR);
  if (auto content = read(file)) {
    content->writer = self_;
    content->process = this_process();
    rewrite(file, *content);
    if (::fdatasync(file.get()) < 0) fail("cannot note who writes to the disk");
    // Of a directory that may not be read, or that is of no such file system, it is not asked.
    const vmm::UniqueFd directory(::open(path_.parent_path().c_str(), O_RDONLY | O_CLOEXEC));
    static_cast<void>(::fsync(directory.get()));
    writer_ = self_;
  }
  claimed_.store(true, std::memory_order_release);
}

void DiskMark::rewrite(const vmm::UniqueFd& file, const Content& content) const {
  const std::string text = to_text(content);
  const ssize_t written = ::pwrite(file.get(), text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size())) fail("cannot note who has the disk");
}

void DiskMark::note_runner() {
  if (runner_noted_.load(std::memory_order_acquire)) return;
  const vmm::Lock lock(mutex_);
  const vmm::UniqueFd file = open(O_RDWR);
  if (auto content = read(file)) {
    content->runner = runner();
    rewrite(file, *content);
  }
  runner_noted_.store(true, std::memory_order_release);
}

bool DiskMark::names_this_runner() const {
  const auto content = read();
  return content && content->runner == runner();
}

std::string DiskMark::runner() const { return self_.substr(0, kRunnerDigits); }

void DiskMark::fail(const char* what) const {
  throw std::system_error(errno, std::generic_category(),
                          fmt::format("'{}', which marks a disk: {}", path_.string(), what));
}

}  // namespace devices::storage
