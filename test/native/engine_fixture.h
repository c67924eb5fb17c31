// What the engine's tests share: an engine with its last error, the usual rule and the usual packet.
#pragma once

#include <rte_errno.h>

#include <cerrno>
#include <cstring>

#include "packet/wire.h"
#include "support.h"

namespace sluice::test {

inline constexpr uint32_t kHost = 0x0a000105, kServer = 0x08080808, kPublic = 0xcb00710a;

inline Bytes udp_frame(uint16_t source = 1000, uint16_t destination = 53, std::vector<uint16_t> tags = {}) {
  Ipv4 header;
  header.source = kHost;
  header.destination = kServer;
  return ethernet(kEtherTypeIpv4, ipv4(header, udp(source, destination, {1, 2, 3})), std::move(tags));
}

inline Rule plain_rule() {
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_UDP);
  return rule;
}
inline Rule& send_to(Rule& rule, uint16_t port) {
  return rule.action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, port_spec(port));
}

struct Engine {
  EngineOptions options;
  FlowEngine engine{options};
  rte_flow_error error = {};

  FlowRule* add(const Rule& rule, uint32_t now = 0) {
    error = {};
    return engine.create(rule.attr, rule.items(), rule.actions(), now, &error);
  }
  FlowRule* must_add(const Rule& rule, uint32_t now = 0) {
    FlowRule* added = add(rule, now);
    if (added == nullptr)
      fail_check(__FILE__, __LINE__, std::string("refused: ") + (error.message ? error.message : ""));
    return added;
  }
  Verdict process(Mbuf& mbuf, uint16_t port = 0, uint32_t now = 0) {
    PacketContext context = context_of(mbuf, port, now);
    return engine.process(context);
  }
  Verdict process(const Bytes& frame, uint16_t port = 0) {
    Mbuf mbuf(frame);
    return process(mbuf, port);
  }
  bool hits(const Bytes& frame) { return process(frame).fate != Fate::kMiss; }
  // validate and create answer the same.
  void refuses(const Rule& rule, rte_flow_error_type type, const void* cause, const std::string& message,
               int line) {
    rte_flow_error told = {};
    const int code = engine.validate(rule.attr, rule.items(), rule.actions(), &told);
    if (code >= 0) fail_check(__FILE__, line, "validate accepts: " + message);
    for (int round = 0; round < 2; ++round) {
      if (told.type != type)
        fail_check(__FILE__, line,
                   "type " + std::to_string(told.type) + ": " + (told.message ? told.message : ""));
      if (told.cause != cause) fail_check(__FILE__, line, "cause");
      if (told.message == nullptr || message != told.message) {
        fail_check(__FILE__, line, std::string("message: ") + (told.message ? told.message : "none"));
      }
      if (round == 0) CHECK(add(rule) == nullptr);
      told = error;
    }
  }
};
#define REFUSES(engine, rule, type, cause, message) engine.refuses(rule, type, cause, message, __LINE__)

}  // namespace sluice::test
