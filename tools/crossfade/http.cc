#include "tools/crossfade/http.h"

#include <httplib.h>

#include <thread>

namespace crossfade::tools {

namespace {

class Server : public HttpServer {
 public:
  explicit Server(StatusBoard* board) {
    // One thread for each connection: two are plenty for a scraper and a person.
    server_.new_task_queue = [] { return new httplib::ThreadPool(2); };
    server_.set_read_timeout(5);
    server_.set_write_timeout(5);
    server_.set_keep_alive_max_count(1);
    server_.set_payload_max_length(1024);
    server_.Get("/status", [board](const httplib::Request&, httplib::Response& response) {
      response.set_content(StatusJson(board->Show()), "application/json");
    });
    server_.Get("/metrics", [board](const httplib::Request&, httplib::Response& response) {
      response.set_content(StatusMetrics(board->Show()), "text/plain; version=0.0.4");
    });
  }

  ~Server() override {
    server_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  bool Bind(const std::string& host, int port) {
    port = port == 0 ? server_.bind_to_any_port(host) : (server_.bind_to_port(host, port) ? port : -1);
    if (port <= 0) {
      return false;
    }
    address_ = fmt::format("{}:{}", host, port);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    return true;
  }

  std::string address() const override { return address_; }

 private:
  httplib::Server server_;
  std::string address_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen, StatusBoard* board) {
  const size_t colon = listen.rfind(':');
  const std::string host = listen.substr(0, colon);
  int port = -1;
  if (colon != std::string::npos && colon + 1 < listen.size() &&
      listen.find_first_not_of("0123456789", colon + 1) == std::string::npos && listen.size() - colon <= 6) {
    port = std::stoi(listen.substr(colon + 1));
  }
  auto server = std::make_unique<Server>(board);
  if (port < 0 || port > 65535 || !server->Bind(host, port)) {
    Error error{ErrorClass::kConfig,
                "CF1735",
                "http",
                fmt::format("cannot listen on http.listen = \"{}\"", listen),
                "",
                "http.listen",
                listen,
                "name a free address and port of this machine, such as \"127.0.0.1:0\""};
    return Fail(std::move(error));
  }
  return server;
}

}  // namespace crossfade::tools
