#include "migration/source/inquiry.hpp"

#include <stdexcept>

namespace migration {

namespace asio = boost::asio;
using wire::FrameType;

asio::awaitable<wire::VmStatus> ask(net::Connection& connection, wire::Inquire question,
                                    std::chrono::milliseconds timeout) {
  co_await connection.greet(wire::Role::inquiry);
  connection.keep_alive();
  connection.send(FrameType::inquire, wire::encode(question));
  const net::Frame answer = co_await connection.answer(timeout);
  if (answer.type != FrameType::status) throw wire::ProtocolError("no status from the peer");
  const auto status = wire::decode<wire::Status>(answer.payload);
  if (status.incarnation != question.incarnation) {
    throw std::runtime_error("another receiver listens there now");
  }
  co_return status.status;
}

}  // namespace migration
