#pragma once

#include <cstdint>

#include "migration/base/options.hpp"

namespace migration {

/// Decides, for one channel and from what it measured, whether the next pages are compressed.
///
/// In a pipeline compression pays when min(compressor, B / c, decompressor) > B, with B the rate of
/// the link and c the ratio out/in. LZ4 decompresses several times faster than it compresses, so
/// two conditions remain: the compressor outruns the link, and the data shrinks.
///
/// A trial block tells the compressor's speed; but it competes for the CPU with the guest, the
/// kernel's network code and, in one host, the peer. So a window of compressed data that carries
/// less than raw ones did ends it, for a while that doubles.
///
/// B is seen while raw pages are sent. While compressed ones are sent it is seen only if the link
/// is what limits (writing takes much of the time); otherwise a window is sent raw to see it.
class CompressionPolicy {
 public:
  /// `cap`: bytes per second that this channel may use, 0 when unknown. A cap is a link rate known
  /// before the first page.
  CompressionPolicy(Compression wanted, double cap);

  [[nodiscard]] bool compress() const { return compressing_; }
  /// The caller shall compress one block on trial and report it, whatever it then sends.
  [[nodiscard]] bool probe_due() const;

  void probed(double in, double out, double seconds);
  void sent_raw(double bytes, double seconds);
  void sent_compressed(double in, double out, double compress_seconds, double write_seconds);
  void set_cap(double cap) { cap_ = cap; }
  /// Bytes per second that the channel carries, as last seen; infinity while that is not known.
  [[nodiscard]] double link() const;

 private:
  void decide();

  Compression wanted_;
  double cap_;
  bool compressing_ = false;
  double compressor_ = 0;  ///< input bytes per second; 0 until measured
  double ratio_ = 1;
  double raw_link_ = 0;  ///< bytes per second as last seen; 0 until measured
  double raw_seen_ = 0;  ///< bytes per second, in the last window that went raw
  double since_probe_ = 0;
  double penalty_ = 0;  ///< bytes that went raw after compression last proved slower
  struct Window {
    double in = 0, out = 0, compress_seconds = 0, write_seconds = 0;
  } window_;
};

}  // namespace migration
