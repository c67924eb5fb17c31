import type { Diagnostic } from './index.js';

/** Every code the compiler can give; docs/diagnostics.md has a section for each. */
export const DIAGNOSTIC_CODES = [
  // verify: the list itself is wrong, for any target
  'match-order',
  'value-range',
  'argument-kind',
  'range-empty',
  'port-unknown',
  'header-missing',
  'tunnel-nested',
  'vlan-nested',
  'action-repeated',
  'rewrite-empty',
  'fate-missing',
  'action-after-fate',
  'checksum-missing',
  // legalise: the list is right, this target cannot execute it
  'target-unknown',
  'item-unsupported',
  'field-unsupported',
  'action-unsupported',
  'checksum-unsupported',
  'punt-unavailable',
  'tcp-flags-unmatched',
  'icmp-in-software',
  'protocol-unmatched',
  'egress-mtu',
  'rewrite-set',
  'order-impossible',
  'actions-exclusive',
  'match-budget',
  'modify-budget',
  'encap-budget',
] as const;
export type DiagnosticCode = (typeof DIAGNOSTIC_CODES)[number];

/** Something with an index into the list as it was given. */
interface Place {
  readonly index: number;
}

/** Collects the diagnostics of one list for one target. */
export class DiagnosticCollector {
  readonly found: Diagnostic[] = [];

  constructor(
    private readonly rule: string,
    private readonly target: string,
  ) {}

  list(code: DiagnosticCode, message: string, hint: string): void {
    this.found.push({ code, rule: this.rule, target: this.target, message, hint });
  }

  item(at: Place, code: DiagnosticCode, message: string, hint: string): void {
    this.found.push({ code, rule: this.rule, itemIndex: at.index, target: this.target, message, hint });
  }

  action(at: Place, code: DiagnosticCode, message: string, hint: string): void {
    this.found.push({ code, rule: this.rule, actionIndex: at.index, target: this.target, message, hint });
  }
}
