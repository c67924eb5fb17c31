// A rule that resembles the last one is what it would be without the last one.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "engine_fixture.h"
#include "flow_engine/shape_memo.h"
#include "random_rules.h"

namespace sluice::test {
namespace {

// What is known of an attempt: the error, or the rule's key, masks and actions without its number, and what
// becomes of packets.
std::string told(Engine& engine, const Rule& rule) {
  FlowRule* added = engine.add(rule);
  if (added == nullptr) {
    char cause[32];
    const auto* at = static_cast<const uint8_t*>(engine.error.cause);
    const auto* items = reinterpret_cast<const uint8_t*>(rule.items());
    const auto* actions = reinterpret_cast<const uint8_t*>(rule.actions());
    const bool in_items = at >= items && at < items + rule.item_count() * sizeof(rte_flow_item);
    std::snprintf(cause, sizeof cause, "%c %td", in_items ? 'i' : 'a', at - (in_items ? items : actions));
    return std::to_string(engine.error.type) + " " + engine.error.message + " " + cause;
  }
  char* text = nullptr;
  size_t length = 0;
  FILE* file = open_memstream(&text, &length);
  engine.engine.dump(added, file);
  std::fclose(file);
  std::string all(text, length);
  std::free(text);
  all = all.substr(all.find("group"));
  for (const uint16_t destination : {53, 54}) {
    for (const uint16_t tag : {0, 7}) {
      Mbuf mbuf(
          udp_frame(1000, destination, tag == 0 ? std::vector<uint16_t>{} : std::vector<uint16_t>{tag}));
      const Verdict verdict = engine.process(mbuf);
      all += " " + std::to_string(static_cast<int>(verdict.fate)) + ":" + std::to_string(verdict.port_id);
      for (const uint8_t byte : mbuf.frame()) all += "," + std::to_string(byte);
    }
  }
  engine.engine.destroy(added);
  return all;
}

// An item of UDP that may be made one of TCP, whose structure is longer.
union Ports {
  rte_flow_item_tcp tcp;
  rte_flow_item_udp udp;
};
Ports ports_spec(uint16_t source, uint16_t destination) {
  Ports spec = {};
  spec.udp = udp_spec(source, destination);
  return spec;
}

struct Parts {
  rte_flow_item_eth eth_mask = {};
  bool has_eth_spec = false;
  rte_flow_item_ipv4 ipv4 = ipv4_spec(kHost, kServer), ipv4_mask = ipv4_spec(0xffffffff, 0xffffffff);
  bool has_ipv4_mask = true;
  rte_flow_item_ipv4 ipv4_last = {};
  bool has_last = false;
  Ports ports = ports_spec(1000, 53);
  rte_flow_item_type l4 = RTE_FLOW_ITEM_TYPE_UDP;
  bool has_void = false;
  int tag = -1;
  rte_flow_field_id field = RTE_FLOW_FIELD_IPV4_SRC;
  uint32_t width = 32;
  bool has_ttl_conf = true;
  uint32_t group = 0, priority = 0;
  bool transfer = true;
  uint16_t port = 1;
};

Rule made(const Parts& parts) {
  Rule rule;
  rule.attr.group = parts.group;
  rule.attr.priority = parts.priority;
  rule.attr.transfer = parts.transfer;
  rule.attr.ingress = !parts.transfer;
  const rte_flow_item_eth eth = {};
  if (parts.has_eth_spec) {
    rule.item(RTE_FLOW_ITEM_TYPE_ETH, eth, &parts.eth_mask);
  } else {
    rule.item(RTE_FLOW_ITEM_TYPE_ETH);
  }
  if (parts.has_void) rule.item(RTE_FLOW_ITEM_TYPE_VOID);
  rule.item(RTE_FLOW_ITEM_TYPE_IPV4, parts.ipv4, parts.has_ipv4_mask ? &parts.ipv4_mask : nullptr,
            parts.has_last ? &parts.ipv4_last : nullptr);
  rule.item(parts.l4, parts.ports);
  if (parts.tag >= 0) {
    rte_flow_item_tag tag = {}, mask = {};
    mask.index = 0xff;
    mask.data = 0xffffffff;
    tag.index = static_cast<uint8_t>(parts.tag);
    rule.item(RTE_FLOW_ITEM_TYPE_TAG, tag, &mask);
  }
  rte_flow_action_modify_field modify = {};
  modify.operation = RTE_FLOW_MODIFY_SET;
  modify.dst.field = parts.field;
  modify.src.field = RTE_FLOW_FIELD_VALUE;
  modify.width = parts.width;
  modify.src.value[0] = 9;
  rule.action(RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, modify);
  if (parts.has_ttl_conf) {
    rule.action(RTE_FLOW_ACTION_TYPE_SET_TTL, rte_flow_action_set_ttl{44});
  } else {
    rule.action(RTE_FLOW_ACTION_TYPE_SET_TTL);
  }
  if (parts.transfer) {
    send_to(rule, parts.port);
  } else {
    rule.action(RTE_FLOW_ACTION_TYPE_QUEUE, rte_flow_action_queue{parts.port});
  }
  return rule;
}

TEST(a_rule_is_the_same_whatever_was_created_before) {
  const std::pair<const char*, std::function<void(Parts&)>> changes[] = {
      {"nothing", [](Parts&) {}},
      {"another value", [](Parts& parts) { parts.ipv4 = ipv4_spec(kHost + 1, kServer); }},
      {"a mask bit less", [](Parts& parts) { parts.ipv4_mask.hdr.src_addr = rte_cpu_to_be_32(0xfffffffe); }},
      {"the default mask", [](Parts& parts) { parts.has_ipv4_mask = false; }},
      {"has_vlan",
       [](Parts& parts) {
         parts.has_eth_spec = true;
         parts.eth_mask.has_vlan = 1;
       }},
      {"reserved bits",
       [](Parts& parts) {
         parts.has_eth_spec = true;
         parts.eth_mask.reserved = 1;
       }},
      {"a range",
       [](Parts& parts) {
         parts.ipv4_last = ipv4_spec(kHost + 9, kServer);
         parts.has_last = true;
       }},
      {"a range upside down",
       [](Parts& parts) {
         parts.ipv4_last = ipv4_spec(kHost - 9, kServer);
         parts.has_last = true;
       }},
      {"TCP", [](Parts& parts) { parts.l4 = RTE_FLOW_ITEM_TYPE_TCP; }},
      {"VOID between", [](Parts& parts) { parts.has_void = true; }},
      {"a tag", [](Parts& parts) { parts.tag = 1; }},
      {"another tag", [](Parts& parts) { parts.tag = 2; }},
      {"a tag that is none", [](Parts& parts) { parts.tag = 9; }},
      {"another field", [](Parts& parts) { parts.field = RTE_FLOW_FIELD_IPV4_DST; }},
      {"another width", [](Parts& parts) { parts.width = 16; }},
      {"no configuration", [](Parts& parts) { parts.has_ttl_conf = false; }},
      {"another group", [](Parts& parts) { parts.group = 1; }},
      {"another priority", [](Parts& parts) { parts.priority = 1; }},
      {"ingress", [](Parts& parts) { parts.transfer = false; }},
      {"another port", [](Parts& parts) { parts.port = 0; }},
  };
  for (const auto& [before_name, before] : changes) {
    for (const auto& [after_name, after] : changes) {
      Parts first, second;
      before(first);
      after(second);
      Engine fresh, used;
      told(used, made(first));
      const std::string expected = told(fresh, made(second)), got = told(used, made(second));
      if (got != expected)
        fail_check(
            __FILE__, __LINE__,
            std::string(after_name) + " after " + before_name + ": " + got + " instead of " + expected);
    }
  }
}

// A client that builds its rules in the same arrays: whatever it changes in them is seen.
TEST(a_rule_in_the_arrays_of_the_one_before_is_what_it_is_elsewhere) {
  constexpr int kUntilSeen = 40;
  for (const bool in_tunnel : {false, true}) {
    Rule rule = made({});
    if (in_tunnel) {
      rule = Rule();
      rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4);
      const Ports mask = ports_spec(0, 0xffff);
      rule.item(RTE_FLOW_ITEM_TYPE_UDP, ports_spec(0, 4789), &mask).item(RTE_FLOW_ITEM_TYPE_VOID);
      const rte_flow_item_vxlan vni = vxlan_spec(0xffffff);
      rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(7), &vni);
      send_to(rule.action(RTE_FLOW_ACTION_TYPE_MARK, rte_flow_action_mark{7}), 1);
    }
    Engine used;
    int differing = 0;
    const std::string plain = told(used, rule);
    const auto see = [&] {
      for (int i = 0; i < kUntilSeen; ++i) CHECK_EQ(told(used, rule), plain);
    };
    const auto compare = [&](const char* what) {
      Engine fresh;
      const std::string expected = told(fresh, rule), got = told(used, rule);
      if (got != expected)
        fail_check(__FILE__, __LINE__, std::string(what) + ": " + got + ", not " + expected);
      differing += expected != plain;
    };
    // `value` as it is with `other` in its place.
    const auto change = [&](const char* what, auto& value, const auto& other) {
      see();
      const auto before = value;
      value = other;
      compare(what);
      value = before;
    };
    const auto change_bytes = [&](const char* what, const void* part, size_t bytes) {
      if (part == nullptr) return;
      auto* byte = static_cast<uint8_t*>(const_cast<void*>(part));
      for (size_t i = 0; i < bytes; ++i) change(what, byte[i], static_cast<uint8_t>(byte[i] ^ 1));
    };
    change("group", rule.attr.group, 1u);
    change("priority", rule.attr.priority, 1u);
    see();
    rule.attr.transfer = 0;
    rule.attr.ingress = 1;
    compare("ingress");
    rule.attr.transfer = 1;
    rule.attr.ingress = 0;
    for (size_t i = 0; i < rule.item_count(); ++i) {
      rte_flow_item& item = rule.item_at(i);
      const bool is_ipv4 = item.type == RTE_FLOW_ITEM_TYPE_IPV4, is_udp = item.type == RTE_FLOW_ITEM_TYPE_UDP;
      const size_t bytes = is_ipv4  ? sizeof(rte_flow_item_ipv4)
                           : is_udp ? sizeof(rte_flow_item_udp)
                                    : sizeof(rte_flow_item_vxlan);
      change_bytes("mask", item.mask, bytes);
      change_bytes("spec", item.spec, bytes);
      change("type", item.type, is_udp ? RTE_FLOW_ITEM_TYPE_TCP : RTE_FLOW_ITEM_TYPE_VOID);
      change("no mask", item.mask, static_cast<const void*>(nullptr));
      change("no spec", item.spec, static_cast<const void*>(nullptr));
      change("a range", item.last, item.spec);
    }
    for (size_t i = 0; i < rule.action_count(); ++i) {
      auto& action = const_cast<rte_flow_action&>(rule.actions()[i]);
      change("action", action.type, RTE_FLOW_ACTION_TYPE_COUNT);
      if (action.type == RTE_FLOW_ACTION_TYPE_SET_TTL)
        change("no configuration", action.conf, static_cast<const void*>(nullptr));
      if (action.type != RTE_FLOW_ACTION_TYPE_MODIFY_FIELD) continue;
      auto* modify = static_cast<rte_flow_action_modify_field*>(const_cast<void*>(action.conf));
      change("field", modify->dst.field, RTE_FLOW_FIELD_IPV4_DST);
      change("width", modify->width, 16u);
    }
    CHECK(differing > 20);
  }
}

// Comparing with a signature is reading another and comparing both, whatever the rules are.
TEST(a_signature_is_of_the_rules_that_read_the_same) {
  Random random(3);
  std::map<std::string, uint64_t> reached, unused;
  std::vector<std::unique_ptr<Rule>> rules;
  for (int i = 0; i < 120; ++i) {
    auto rule = std::make_unique<Rule>();
    bool vxlan = false, has_ports = false;
    add_layer(random, rule.get(), false, &unused, &vxlan, &has_ports);
    add_actions(random, rule.get(), vxlan, has_ports);
    rules.push_back(std::move(rule));
  }
  for (const auto& known : rules) {
    RuleSignature pattern, actions;
    const bool has_pattern = pattern.read(known->attr, known->items()),
               has_actions = actions.read(known->actions());
    for (const auto& other : rules) {
      RuleSignature its_pattern, its_actions;
      if (has_pattern) {
        const bool same = its_pattern.read(other->attr, other->items()) && its_pattern.equals(pattern);
        CHECK_EQ(pattern.is_of(other->attr, other->items()), same);
        ++reached[same && other != known ? "pattern of another" : same ? "own pattern" : "not the pattern"];
      }
      if (has_actions) {
        const bool same = its_actions.read(other->actions()) && its_actions.equals(actions);
        CHECK_EQ(actions.is_of(other->actions()), same);
        ++reached[same && other != known ? "actions of another" : same ? "own actions" : "not the actions"];
      }
    }
  }
  for (const char* name : {"pattern of another", "own pattern", "not the pattern", "actions of another",
                           "own actions", "not the actions"}) {
    if (reached[name] < 10) fail_check(__FILE__, __LINE__, std::string("hardly ever reached: ") + name);
  }
}

TEST(a_tunnel_on_another_udp_port_is_refused_whatever_was_created_before) {
  Engine engine;
  const auto rule = [](uint16_t port) {
    Rule made;
    made.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4);
    made.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(0, port)).item(RTE_FLOW_ITEM_TYPE_VXLAN);
    made.action(RTE_FLOW_ACTION_TYPE_DROP);
    return made;
  };
  engine.engine.destroy(engine.must_add(rule(4789)));
  CHECK(engine.add(rule(4790)) == nullptr);
  engine.must_add(rule(4789));
}

TEST(what_is_remembered_goes_with_its_table) {
  Engine engine;
  for (int round = 0; round < 3; ++round) {
    FlowRule* rule = engine.must_add(made({}));
    engine.engine.destroy(rule);
    engine.engine.flush();  // drops the empty table
  }
  engine.must_add(made({}));
  CHECK(engine.hits(udp_frame()));
}

}  // namespace
}  // namespace sluice::test
