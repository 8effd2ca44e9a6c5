#pragma once

#include <cstdint>

#include "migration/base/options.hpp"

namespace migration {

/// Of a block of pages.
enum class BlockFormat { lz4, zstd };

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
/// Zstandard takes the place of LZ4 by the same criterion: where min(its speed, B / its c) is
/// greater by a margin. Both are tried on the same block, now and then; and a window by which it
/// carries less than LZ4 did ends it, for a while that doubles, too.
///
/// Compression that began under a cap, before a raw page was sent, and then carries less than the
/// cap is compared with a raw window, too.
///
/// B is seen while raw pages are sent. While compressed ones are sent it is seen only if the link
/// is what limits (writing takes much of the time); otherwise a window is sent raw, or by LZ4
/// instead of Zstandard, to see it.
class CompressionPolicy {
 public:
  /// What became of a block that was tried.
  struct Packed {
    double out;
    double seconds;
  };

  /// `cap`: bytes per second that this channel may use, 0 when unknown. A cap is a link rate known
  /// before the first page. `zstd`: the peer knows it.
  CompressionPolicy(Compression wanted, double cap, bool zstd);

  [[nodiscard]] bool compress() const { return compressing_; }
  /// By what, where pages are compressed.
  [[nodiscard]] BlockFormat format() const {
    return zstd_.used ? BlockFormat::zstd : BlockFormat::lz4;
  }
  /// The caller shall compress one block on trial and report it, whatever it then sends.
  [[nodiscard]] bool probe_due() const;
  /// The same of one block in either format.
  [[nodiscard]] bool comparison_due() const;

  void probed(double in, Packed lz4);
  void compared(double in, Packed lz4, Packed zstd);
  void sent_raw(double bytes, double seconds);
  void sent_compressed(double in, double out, double compress_seconds, double write_seconds);
  /// The channel has another share of the link from now on: `channels` are in use, and `cap` is its
  /// part of the cap, 0 without one. What was seen of the link is judged by it.
  void share_link(double cap, unsigned channels);
  /// Bytes per second that the channel carries, as last seen; infinity while that is not known.
  [[nodiscard]] double link() const;

 private:
  struct Codec {
    double speed = 0;  ///< input bytes per second; 0 until measured
    double ratio = 1;
  };
  [[nodiscard]] static Codec measured(double in, Packed packed);

  void decide();
  /// Input bytes per second that the channel carries by this codec.
  [[nodiscard]] double carried_by(Codec codec) const;

  Compression wanted_;
  double cap_;
  unsigned channels_ = 1;
  bool compressing_;
  double compressor_ = 0;  ///< input bytes per second; 0 until measured
  double ratio_ = 1;
  double raw_link_ = 0;       ///< bytes per second as last seen; 0 until measured
  double raw_seen_ = 0;       ///< bytes per second, in the last window that went raw
  bool look_at_raw_ = false;  ///< the next window goes so
  double since_probe_ = 0;
  double penalty_ = 0;  ///< bytes that went raw after compression last proved slower
  struct Zstd {
    bool known = false;  ///< to the peer
    bool used = false;
    Codec tried, lz4_tried;  ///< on the same block
    double lz4_sent = 0;     ///< bytes per second on the wire, in the last window by LZ4
    double since_trial = 0;  ///< bytes; below 0 after it last proved slower than LZ4
    double penalty = 0;      ///< bytes below 0 that it then began with
  } zstd_;
  struct Window {
    double in = 0, out = 0, compress_seconds = 0, write_seconds = 0;
  } window_;
};

}  // namespace migration
