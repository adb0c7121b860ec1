// The OpenAI-compatible server: the routing table, and admission by it.
#include "serve/api_server.h"

#include <array>
#include <atomic>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"
#include "net/server.h"
#include "serve/access.h"
#include "serve/completions.h"

namespace octavo::serve {
namespace {

// A model and the backend that runs it, once they are there.
struct Service {
  ServedModel model;
  Backend& backend;
};

using Handler = void (*)(const Service& service, const net::Request& request,
                         const net::Responder& responder);

void Health(const Service&, const net::Request&, const net::Responder& responder) {
  responder.Send(JsonResponse({{"status", "ok"}}));
}

void Models(const Service& service, const net::Request&, const net::Responder& responder) {
  responder.Send(
      JsonResponse({{"object", "list"},
                    {"data", core::Json::array({{{"id", service.model.name},
                                                 {"object", "model"},
                                                 {"created", service.model.created},
                                                 {"owned_by", "octavo"},
                                                 {"max_model_len", service.model.context}}})}}));
}

void Completions(const Service& service, const net::Request& request,
                 const net::Responder& responder) {
  HandleCompletion(request.body, Endpoint::kCompletions, service.model, service.backend, responder);
}

void ChatCompletions(const Service& service, const net::Request& request,
                     const net::Responder& responder) {
  HandleCompletion(request.body, Endpoint::kChat, service.model, service.backend, responder);
}

void Kernels(const Service& service, const net::Request&, const net::Responder& responder) {
  responder.Send(JsonResponse(service.model.kernel_report()));
}

struct Row {
  Route route;
  Handler handler;
};
constexpr std::array kRows = {
    Row{{"GET", "/health", false}, Health},
    Row{{"GET", "/v1/health", false}, Health},
    Row{{"GET", "/v1/models", true}, Models},
    Row{{"POST", "/v1/completions", true}, Completions},
    Row{{"POST", "/v1/chat/completions", true}, ChatCompletions},
    Row{{"GET", "/octavo/kernels", true}, Kernels},
};

// The row for a path, whatever the method; nullptr if there is none.
const Row* FindRow(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  for (const Row& row : kRows) {
    if (row.route.path == path) return &row;
  }
  return nullptr;
}

}  // namespace

std::vector<Route> Routes() {
  std::vector<Route> routes;
  for (const Row& row : kRows) routes.push_back(row.route);
  return routes;
}

struct ApiServer::State {
  explicit State(std::string key) : api_key(std::move(key)) {}

  // Before the body is read: only who may call, of what exists, when there is a model, gets
  // further.
  std::optional<net::Response> Admit(const net::Request& head) const {
    const Row* row = FindRow(head.target);
    const bool needs_key = row == nullptr || row->route.needs_key;
    if (const Failure failure = CheckAccess(head, api_key, needs_key))
      return ErrorResponse(*failure);
    if (row == nullptr) {
      return ErrorResponse(
          {404, fmt::format("There is no {}.", core::Printable(head.target)), "", "not_found"});
    }
    if (head.method != row->route.method) {
      net::Response response =
          ErrorResponse({405, fmt::format("{} takes {} only.", row->route.path, row->route.method),
                         "", "method_not_allowed"});
      response.headers.push_back({"Allow", std::string(row->route.method)});
      return response;
    }
    if (service.load() == nullptr) return ErrorResponse({503, "Loading model", "", ""});
    return std::nullopt;
  }

  void Handle(const net::Request& request, const net::Responder& responder) const {
    FindRow(request.target)->handler(*service.load(), request, responder);  // Admit has found both
  }

  const std::string api_key;
  std::unique_ptr<Service> owned_service;
  std::atomic<const Service*> service{nullptr};
  std::unique_ptr<net::Server> server;  // last, so that it goes first
};

core::Result<std::unique_ptr<ApiServer>> ApiServer::Start(const ApiOptions& options) {
  OCTAVO_RETURN_IF_ERROR(CheckExposure(options.host, options.api_key));
  auto state = std::make_unique<State>(options.api_key);
  net::ServerOptions server_options;
  server_options.host = options.host;
  server_options.port = options.port;
  net::ServerHandlers handlers;
  handlers.admit = [raw = state.get()](const net::Request& head) { return raw->Admit(head); };
  handlers.handle = [raw = state.get()](net::Request&& request, const net::Responder& responder) {
    raw->Handle(request, responder);
  };
  handlers.error = [](int status, std::string_view message) {
    return ErrorResponse({status, std::string(message), "", ""});
  };
  OCTAVO_TRY(state->server, net::Server::Start(std::move(server_options), std::move(handlers)));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(state)));
}

ApiServer::ApiServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
ApiServer::~ApiServer() = default;

void ApiServer::Serve(ServedModel model, Backend& backend) {
  state_->owned_service = std::make_unique<Service>(Service{std::move(model), backend});
  state_->service.store(state_->owned_service.get());
}

int ApiServer::port() const {
  return state_->server->port();
}
bool ApiServer::Drain(double seconds) {
  return state_->server->Drain(seconds);
}

}  // namespace octavo::serve
