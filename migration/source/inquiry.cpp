#include "migration/source/inquiry.hpp"

#include <stdexcept>
#include <utility>

namespace migration {

namespace asio = boost::asio;
using wire::FrameType;

asio::awaitable<wire::VmStatus> Inquiry::ask(Address to, wire::Inquire question,
                                             std::chrono::milliseconds timeout) {
  net::Socket socket = co_await net::dial(to, timeout);
  peer_ = net::peer_address(socket, to);
  const auto connection = std::make_shared<net::Connection>(std::move(socket), timeout);
  connection_ = connection;
  co_await connection->greet(wire::Role::inquiry);
  connection->keep_alive();
  connection->send(FrameType::inquire, wire::encode(question));
  const net::Frame answer = co_await connection->answer(timeout);
  if (answer.type != FrameType::status) throw wire::ProtocolError("no status from the peer");
  const auto status = wire::decode<wire::Status>(answer.payload);
  if (status.incarnation != question.incarnation) {
    throw std::runtime_error("another receiver listens there now");
  }
  co_return status.status;
}

std::shared_ptr<net::Connection> Inquiry::take() { return std::exchange(connection_, nullptr); }

void Inquiry::close() {
  if (connection_) connection_->close();
}

void Inquiry::end() {
  close();
  sent_before_ = bytes_sent();
  received_before_ = bytes_received();
  connection_ = nullptr;
}

std::uint64_t Inquiry::bytes_sent() const {
  return sent_before_ + (connection_ ? connection_->bytes_sent() : 0);
}

std::uint64_t Inquiry::bytes_received() const {
  return received_before_ + (connection_ ? connection_->bytes_received() : 0);
}

}  // namespace migration
