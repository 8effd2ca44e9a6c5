#pragma once

/// Names of hosts, without a name server: getaddrinfo of a test executable that has names.cpp.
namespace migration {

/// A host whose name servers do not answer, as long as one of these is there.
class SilentNames {
 public:
  static constexpr const char* kName = "silent.test";
  SilentNames();
  /// Whoever asks gets an error, and this waits until all have.
  ~SilentNames();
  SilentNames(const SilentNames&) = delete;
  SilentNames& operator=(const SilentNames&) = delete;

  /// Waits until so many have asked; false when they do not.
  [[nodiscard]] static bool wait_asked(unsigned times);
};

}  // namespace migration
