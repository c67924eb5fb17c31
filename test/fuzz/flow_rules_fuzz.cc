// Any rule arrays, by rte_flow_create's way and by templates, and any packets through them. What validate takes,
// create takes; a burst does what packets one by one do; nothing is left when all is destroyed.
#include <rte_ethdev.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "flow_engine/indirect.h"
#include "flow_engine/items.h"
#include "support.h"

namespace {

using namespace sluice;
using namespace sluice::test;

constexpr size_t kRoom = 128;  // more than any item's or action's structure
constexpr uint32_t kMaxOperations = 48;

void demand(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// The input, consumed from the front; zeros behind its end.
struct Input {
  const uint8_t* data;
  size_t left;

  uint8_t byte() {
    if (left == 0) return 0;
    left--;
    return *data++;
  }
  void fill(void* out, size_t count) {
    if (count == 0) return;
    const size_t given = std::min(count, left);
    std::memcpy(out, data, given);
    std::memset(static_cast<uint8_t*>(out) + given, 0, count - given);
    data += given;
    left -= given;
  }
  template <typename T>
  T value() {
    T out;
    fill(&out, sizeof out);
    return out;
  }
};

struct ItemKind {
  int type;
  size_t bytes;
};
constexpr ItemKind kItems[] = {
    {RTE_FLOW_ITEM_TYPE_VOID, 0},
    {RTE_FLOW_ITEM_TYPE_ETH, sizeof(rte_flow_item_eth)},
    {RTE_FLOW_ITEM_TYPE_VLAN, sizeof(rte_flow_item_vlan)},
    {RTE_FLOW_ITEM_TYPE_IPV4, sizeof(rte_flow_item_ipv4)},
    {RTE_FLOW_ITEM_TYPE_IPV6, sizeof(rte_flow_item_ipv6)},
    {RTE_FLOW_ITEM_TYPE_UDP, sizeof(rte_flow_item_udp)},
    {RTE_FLOW_ITEM_TYPE_TCP, sizeof(rte_flow_item_tcp)},
    {RTE_FLOW_ITEM_TYPE_ICMP, sizeof(rte_flow_item_icmp)},
    {RTE_FLOW_ITEM_TYPE_ICMP6, sizeof(rte_flow_item_icmp6)},
    {RTE_FLOW_ITEM_TYPE_VXLAN, sizeof(rte_flow_item_vxlan)},
    {RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, sizeof(rte_flow_item_ethdev)},
    {RTE_FLOW_ITEM_TYPE_INTEGRITY, sizeof(rte_flow_item_integrity)},
    {RTE_FLOW_ITEM_TYPE_META, sizeof(rte_flow_item_meta)},
    {RTE_FLOW_ITEM_TYPE_MARK, sizeof(rte_flow_item_mark)},
    {RTE_FLOW_ITEM_TYPE_TAG, sizeof(rte_flow_item_tag)},
    {RTE_FLOW_ITEM_TYPE_GRE, sizeof(rte_flow_item_gre)},
    {-7, 8},
};

struct ActionKind {
  int type;
  size_t bytes;
};
constexpr ActionKind kActions[] = {
    {RTE_FLOW_ACTION_TYPE_VOID, 0},
    {RTE_FLOW_ACTION_TYPE_COUNT, sizeof(rte_flow_action_count)},
    {RTE_FLOW_ACTION_TYPE_AGE, sizeof(rte_flow_action_age)},
    {RTE_FLOW_ACTION_TYPE_MARK, sizeof(rte_flow_action_mark)},
    {RTE_FLOW_ACTION_TYPE_FLAG, 0},
    {RTE_FLOW_ACTION_TYPE_SET_META, sizeof(rte_flow_action_set_meta)},
    {RTE_FLOW_ACTION_TYPE_SET_TAG, sizeof(rte_flow_action_set_tag)},
    {RTE_FLOW_ACTION_TYPE_JUMP, sizeof(rte_flow_action_jump)},
    {RTE_FLOW_ACTION_TYPE_QUEUE, sizeof(rte_flow_action_queue)},
    {RTE_FLOW_ACTION_TYPE_DROP, 0},
    {RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, sizeof(rte_flow_action_ethdev)},
    {RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, sizeof(rte_flow_action_ethdev)},
    {RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, sizeof(rte_flow_action_set_mac)},
    {RTE_FLOW_ACTION_TYPE_SET_MAC_DST, sizeof(rte_flow_action_set_mac)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, sizeof(rte_flow_action_set_ipv4)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV4_DST, sizeof(rte_flow_action_set_ipv4)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC, sizeof(rte_flow_action_set_ipv6)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV6_DST, sizeof(rte_flow_action_set_ipv6)},
    {RTE_FLOW_ACTION_TYPE_SET_TP_SRC, sizeof(rte_flow_action_set_tp)},
    {RTE_FLOW_ACTION_TYPE_SET_TP_DST, sizeof(rte_flow_action_set_tp)},
    {RTE_FLOW_ACTION_TYPE_SET_TTL, sizeof(rte_flow_action_set_ttl)},
    {RTE_FLOW_ACTION_TYPE_DEC_TTL, 0},
    {RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP, sizeof(rte_flow_action_set_dscp)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP, sizeof(rte_flow_action_set_dscp)},
    {RTE_FLOW_ACTION_TYPE_VXLAN_DECAP, 0},
    {RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, sizeof(rte_flow_action_of_push_vlan)},
    {RTE_FLOW_ACTION_TYPE_OF_POP_VLAN, 0},
    {RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, sizeof(rte_flow_action_of_set_vlan_vid)},
    {RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, sizeof(rte_flow_action_of_set_vlan_pcp)},
    {kActionSetIcmpIdent, sizeof(rte_be16_t)},
    {RTE_FLOW_ACTION_TYPE_METER, sizeof(rte_flow_action_meter)},
    {-9, 8},
    // With pointers of their own.
    {RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP, 0},
    {RTE_FLOW_ACTION_TYPE_RAW_ENCAP, 0},
    {RTE_FLOW_ACTION_TYPE_RAW_DECAP, 0},
    {RTE_FLOW_ACTION_TYPE_RSS, 0},
    {RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, 0},
    {RTE_FLOW_ACTION_TYPE_INDIRECT, 0},
};

struct World {
  explicit World(const EngineOptions& options) : engine(options) {
    for (int i = 0; i < 2; ++i) {
      handles[i] = IndirectAction{};
      handles[i].kind = i == 0 ? IndirectAction::Kind::kCount : IndirectAction::Kind::kAge;
      handles[i].for_transfer = handles[i].for_ingress = true;
    }
  }
  FlowEngine engine;
  IndirectAction handles[2];
  std::vector<std::unique_ptr<Rule>> definitions;  // of VXLAN_ENCAP
  std::vector<FlowRule*> rules;
  struct Table {
    std::unique_ptr<Rule> rule;
    RuleTable* table;
    uint32_t rows;
  };
  std::vector<Table> tables;
};

// How a structure's bytes are made: most inputs would never meet a packet if every byte were its own.
void fill_structure(Input& in, uint8_t* out, size_t bytes, uint8_t way) {
  switch (way & 3) {
    case 0: std::memset(out, 0, bytes); break;
    case 1: std::memset(out, 0xff, bytes); break;
    case 2: in.fill(out, bytes); break;
    default: {  // a few bytes anywhere
      std::memset(out, 0, bytes);
      for (uint8_t count = in.byte() & 7; count != 0 && bytes != 0; --count) {
        const size_t at = in.byte() % bytes;
        out[at] = in.byte();
      }
    }
  }
}

const rte_flow_item* items(Input& in, Rule& rule, uint8_t most) {
  for (uint8_t count = in.byte() % (most + 1); count != 0; --count) {
    const ItemKind kind = kItems[in.byte() % std::size(kItems)];
    const uint8_t given = in.byte();
    uint8_t spec[kRoom] = {}, mask[kRoom] = {}, last[kRoom] = {};
    fill_structure(in, spec, kind.bytes, given);
    fill_structure(in, mask, kind.bytes, static_cast<uint8_t>(given >> 2));
    fill_structure(in, last, kind.bytes, static_cast<uint8_t>(given >> 4));
    const uint8_t has = given >> 6 == 3 ? in.byte() : given >> 6 == 2 ? 3 : given >> 6;
    rule.raw_item(RTE_FLOW_ITEM_TYPE_VOID, has & 1 ? spec : nullptr, has & 2 ? mask : nullptr,
                  has & 4 ? last : nullptr, kind.bytes);
    // As bytes: drivers' types are none of the enum's.
    std::memcpy(&rule.item_at(rule.item_count() - 1).type, &kind.type, sizeof kind.type);
  }
  return rule.items();
}

void add_action(Input& in, Rule& rule, World& world) {
  const ActionKind kind = kActions[in.byte() % std::size(kActions)];
  const uint8_t way = in.byte();
  uint8_t room[kRoom] = {};
  fill_structure(in, room, kind.bytes, way);
  const bool with_conf = (way & 0xf0) != 0xf0;
  switch (kind.type) {
    case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP: {
      if ((way & 0x0c) == 0) {
        add_vxlan_encap(rule, in.byte(), 0x0a000001u + in.byte(), (way & 1) != 0);
        return;
      }
      rte_flow_action_vxlan_encap conf = {};
      world.definitions.push_back(std::make_unique<Rule>());
      const rte_flow_item* definition = items(in, *world.definitions.back(), 7);
      if (with_conf) conf.definition = const_cast<rte_flow_item*>(definition);
      rule.action(kind.type, conf);
      return;
    }
    case RTE_FLOW_ACTION_TYPE_RAW_ENCAP:
    case RTE_FLOW_ACTION_TYPE_RAW_DECAP: {
      constexpr size_t kSizes[] = {14, 18, 50, 54, 20, 0, 34, 64};
      const size_t size = kSizes[way & 7];
      Bytes bytes(64);
      in.fill(bytes.data(), size);
      if (way & 8) {
        bytes[12] = size % 16 == 2 || size == 54 ? 0x81 : 8;
        bytes[13] = 0;
        std::fill(bytes.begin() + 14, bytes.end(), 0);
        if (size == 54) bytes[16] = 8;
      }
      uint8_t* data = (way & 0xc0) == 0xc0 ? nullptr : static_cast<uint8_t*>(rule.keep(bytes.data(), bytes.size()));
      if (kind.type == RTE_FLOW_ACTION_TYPE_RAW_ENCAP) {
        rte_flow_action_raw_encap conf = {};
        conf.data = data;
        conf.size = size;
        rule.action(kind.type, conf);
      } else {
        rte_flow_action_raw_decap conf = {};
        conf.data = data;
        conf.size = size;
        rule.action(kind.type, conf);
      }
      return;
    }
    case RTE_FLOW_ACTION_TYPE_RSS: {
      rte_flow_action_rss conf = {};
      uint16_t queues[128];
      in.fill(queues, sizeof queues);
      Bytes key(64);
      in.fill(key.data(), key.size());
      conf.func = static_cast<rte_eth_hash_function>(way & 3);
      conf.level = in.byte() & 3;
      conf.types = in.value<uint64_t>();
      conf.queue_num = in.byte() & 0x7f;
      conf.key_len = in.byte() & 0x3f;
      conf.queue = (way & 0x10) != 0 ? nullptr : static_cast<uint16_t*>(rule.keep(queues, sizeof queues));
      conf.key = (way & 0x20) != 0 ? nullptr : static_cast<uint8_t*>(rule.keep(key.data(), key.size()));
      rule.action(kind.type, conf);
      return;
    }
    case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD: {
      rte_flow_action_modify_field conf = {};
      conf.operation = static_cast<rte_flow_modify_op>(way & 3);
      conf.dst.field = static_cast<rte_flow_field_id>(in.byte() & 0x3f);
      conf.dst.level = in.byte() & 7;
      conf.dst.offset = (way & 0x10) != 0 ? in.byte() : 0;
      conf.src.field = (way & 0x20) != 0 ? RTE_FLOW_FIELD_POINTER : RTE_FLOW_FIELD_VALUE;
      constexpr uint32_t kWidths[] = {48, 12, 6, 8, 32, 16, 128, 1};
      conf.width = kWidths[in.byte() & 7];
      uint8_t value[16];
      in.fill(value, sizeof value);
      if (conf.src.field == RTE_FLOW_FIELD_VALUE) {
        std::memcpy(conf.src.value, value, sizeof value);
      } else {
        conf.src.pvalue = (way & 0x40) != 0 ? nullptr : rule.keep(value, sizeof value);
      }
      rule.action(kind.type, conf);
      return;
    }
    case RTE_FLOW_ACTION_TYPE_INDIRECT: rule.raw_action(kind.type, nullptr, 0); break;
    default: rule.raw_action(kind.type, with_conf ? room : nullptr, kind.bytes); return;
  }
  // The handle itself is the conf, not a copy of it.
  const_cast<rte_flow_action*>(rule.actions())[rule.action_count() - 1].conf = &world.handles[way & 1];
}

void actions(Input& in, Rule& rule, World& world) {
  for (uint8_t count = in.byte() % 7; count != 0; --count) add_action(in, rule, world);
}

void attributes(Input& in, Rule& rule) {
  const uint8_t bits = in.byte();
  rule.attr = {};
  rule.attr.group = bits & 3;
  rule.attr.priority = bits >> 2 & 1;
  rule.attr.transfer = (bits & 0x08) == 0;
  rule.attr.ingress = (bits & 0x10) != 0 || (bits & 0x0c) == 0x08;
  rule.attr.egress = (bits & 0xe0) == 0xe0;
}

// Headers that rules can meet, behind which the input's own bytes lie.
Bytes frame(Input& in) {
  const uint8_t kind = in.byte();
  Bytes own(in.byte());
  in.fill(own.data(), own.size());
  if ((kind & 7) == 7) return own;
  Bytes l4 = (kind & 3) == 0   ? udp(in.byte(), in.byte(), own, (kind & 4) == 0)
             : (kind & 3) == 1 ? tcp(in.byte(), in.byte(), own, in.byte())
             : (kind & 3) == 2 ? icmp_echo(in.byte(), in.byte(), own)
                               : own;
  Ipv4 header;
  header.protocol = static_cast<uint8_t>((kind & 3) == 0 ? 17 : (kind & 3) == 1 ? 6 : 1);
  header.ttl = in.byte();
  header.fragment = (kind & 0x18) == 0x18 ? static_cast<uint16_t>(in.byte() << 8) : 0;
  header.source = 0x0a000000u + in.byte();
  header.options = Bytes((kind & 0x60) == 0x60 ? 8 : 0);
  const Bytes packet = (kind & 0x40) != 0 ? ipv6(header.protocol, l4, header.ttl) : ipv4(header, l4);
  std::vector<uint16_t> tags((kind & 0x18) == 0x08 ? in.byte() % 4 : 0, 5);
  const Bytes inner = ethernet((kind & 0x40) != 0 ? 0x86dd : 0x0800, packet, tags);
  Bytes whole = (kind & 0x80) != 0 ? tunnel(in.byte(), inner) : inner;
  for (uint8_t count = in.byte() & 3; count != 0; --count) {
    const size_t at = in.byte() % whole.size();
    whole[at] = in.byte();
  }
  return whole;
}

void check_error(int code, const rte_flow_error& error) {
  demand(code < 0, "a refusal has a negative code");
  demand(error.type != RTE_FLOW_ERROR_TYPE_NONE, "a refusal names what is wrong");
  demand(error.message != nullptr && *error.message != 0, "a refusal says what is wrong");
}

void create(Input& in, World& world) {
  Rule rule;
  attributes(in, rule);
  items(in, rule, 8);
  actions(in, rule, world);
  rte_flow_error error = {};
  const int code = world.engine.validate(rule.attr, rule.items(), rule.actions(), &error);
  if (code != 0) check_error(code, error);
  rte_flow_error created = {};
  rte_errno = 0;
  FlowRule* made = world.engine.create(rule.attr, rule.items(), rule.actions(), 1, &created);
  if (made != nullptr) {
    demand(code == 0, "create takes only what validate takes");
    world.rules.push_back(made);
  } else {
    check_error(-rte_errno, created);
    demand(code != 0 || rte_errno == EEXIST || rte_errno == ENOSPC, "what validate takes, create takes");
  }
}

void create_table(Input& in, World& world) {
  auto rule = std::make_unique<Rule>();
  attributes(in, *rule);
  items(in, *rule, 8);
  actions(in, *rule, world);
  // Masks of the same types; constant where the input says so, by bytes of ones.
  std::vector<rte_flow_action> masks(rule->actions(), rule->actions() + rule->action_count() + 1);
  static const Bytes kOnes(kRoom, 0xff);
  for (rte_flow_action& mask : masks) {
    if (type_of(mask) == RTE_FLOW_ACTION_TYPE_END) break;
    const uint8_t way = in.byte();
    const bool plain = type_of(mask) != RTE_FLOW_ACTION_TYPE_INDIRECT;
    if (plain && (way & 3) != 0) mask.conf = (way & 3) == 1 ? nullptr : kOnes.data();
    if (!plain) mask.type = (way & 1) != 0 ? RTE_FLOW_ACTION_TYPE_COUNT : RTE_FLOW_ACTION_TYPE_AGE;
    if (!plain) mask.conf = nullptr;
  }
  const bool masked = (in.byte() & 1) != 0;
  rte_flow_error error = {};
  rte_errno = 0;
  RuleTable* table = world.engine.create_table(rule->attr, rule->items(), rule->actions(),
                                               masked ? masks.data() : nullptr, &error);
  if (table == nullptr) {
    check_error(-rte_errno, error);
  } else {
    world.tables.push_back({std::move(rule), table, 0});
  }
}

// The template's own items and actions as a row, some spec or conf of them another.
void create_row(Input& in, World& world) {
  if (world.tables.empty()) return;
  World::Table& table = world.tables[in.byte() % world.tables.size()];
  std::vector<rte_flow_item> pattern(table.rule->items(), table.rule->items() + table.rule->item_count() + 1);
  std::vector<rte_flow_action> list(table.rule->actions(), table.rule->actions() + table.rule->action_count() + 1);
  uint8_t spec[kRoom] = {};
  in.fill(spec, 24);
  const uint8_t way = in.byte();
  if (!pattern.empty() && (way & 1) != 0) pattern[way / 4 % pattern.size()].spec = (way & 2) != 0 ? spec : nullptr;
  // Last of all, a list that is another than the template's.
  if (way == 0xff && !list.empty()) list[0].type = RTE_FLOW_ACTION_TYPE_DROP;
  rte_flow_error error = {};
  rte_errno = 0;
  FlowRule* row = world.engine.create_row(table.table, pattern.data(), list.data(), 1, &error);
  if (row == nullptr) {
    check_error(-rte_errno, error);
  } else {
    world.rules.push_back(row);
  }
}

void send(Input& in, World& world) {
  const size_t count = 1 + (in.byte() & 7);
  const uint16_t headroom = (in.byte() & 7) == 0 ? 20 : 128;
  std::vector<std::unique_ptr<Mbuf>> alone, together;
  std::vector<PacketContext> contexts(count);
  std::vector<PacketContext*> pointers;
  std::vector<Verdict> expected, verdicts(count);
  for (size_t i = 0; i < count; ++i) {
    const Bytes bytes = frame(in);
    const uint16_t port = in.byte() & 1;
    alone.push_back(std::make_unique<Mbuf>(bytes, headroom));
    together.push_back(std::make_unique<Mbuf>(bytes, headroom));
    PacketContext one = context_of(*alone.back(), port, 2);
    expected.push_back(world.engine.process(one));
    contexts[i] = context_of(*together.back(), port, 2);
    pointers.push_back(&contexts[i]);
  }
  world.engine.process_burst(pointers.data(), count, verdicts.data());
  for (size_t i = 0; i < count; ++i) {
    demand(alone[i]->frame() == together[i]->frame(), "a burst changes a packet as it would be alone");
    demand(verdicts[i].fate == expected[i].fate && verdicts[i].port_id == expected[i].port_id &&
               verdicts[i].queue == expected[i].queue && verdicts[i].cause == expected[i].cause,
           "a burst decides as for a packet alone");
    ParsedPacket again;
    ParseOptions options;
    const Bytes left = together[i]->frame();
    parse(left.data(), static_cast<uint32_t>(left.size()), options, &again);
    if (expected[i].fate != Fate::kDrop)
      demand(again.outer.l3 == contexts[i].headers.outer.l3, "what is known of a packet is what a parse finds");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static FILE* nowhere = std::fopen("/dev/null", "w");
  Input in{data, size};
  EngineOptions options;
  options.private_actions = (in.byte() & 1) != 0;
  options.max_rules = 24;
  World world(options);
  for (uint32_t operations = 0; in.left != 0 && operations < kMaxOperations; ++operations) {
    switch (in.byte() & 7) {
      case 0:
      case 1: create(in, world); break;
      case 2: create_table(in, world); break;
      case 3: create_row(in, world); break;
      case 4:
        if (world.rules.empty()) break;
        {
          const size_t at = in.byte() % world.rules.size();
          world.engine.destroy(world.rules[at]);
          world.rules.erase(world.rules.begin() + static_cast<long>(at));
        }
        break;
      case 5:
        world.engine.collect_aged(in.byte(), [](FlowRule*) { return true; });
        for (FlowRule* rule : world.rules) {
          world.engine.dump(rule, nowhere);
          world.engine.take_counters(rule);
        }
        break;
      default: send(in, world); break;
    }
    demand(world.engine.rules() == world.rules.size(), "the engine counts its rules");
  }
  world.engine.destroy(world.rules.data(), world.rules.size());
  demand(world.engine.rules() == 0, "nothing is left");
  for (const World::Table& table : world.tables) world.engine.destroy_table(table.table);
  demand(world.handles[0].references == 0 && world.handles[1].references == 0, "no handle is in use any more");
  return 0;
}
