#pragma once

namespace migration {

/// Decides how the destination asks for a page that the guest waits for: as it is, or compressed by
/// LZ4. Over a slow link a compressed page is here sooner, over a fast one compressing takes longer
/// than it saves. Which it is shows in the time from the request to the page in place, so that is
/// compared, as it is measured.
///
/// The first few requests ask for raw pages, the next few for compressed ones; from then on all ask
/// for the faster kind, but one in 32 for the other, since the link and the pages change. Each kind
/// has an exponentially weighted mean. It starts with the quickest of the first answers, and a time
/// far above it counts as a few times it only: one request that waited behind others turns nothing.
///
/// Answers may come in any order, after further requests, or never.
class AnswerChoice {
 public:
  /// To be called once for each request. Whether to ask for a compressed page.
  [[nodiscard]] bool ask_compressed();
  /// An answer came so long after its request.
  void answered(bool compressed, double microseconds);

 private:
  struct Kind {
    unsigned asked = 0;  ///< at first
    unsigned answered = 0;
    double mean = 0;  ///< us
  };
  [[nodiscard]] bool prefers_compressed() const;

  Kind raw_;
  Kind compressed_;
  unsigned since_other_ = 0;  ///< requests since the slower kind was last asked for
};

}  // namespace migration
