import type { Diagnostic } from './index.js';
import type { Located } from './rule.js';

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
] as const;
export type DiagnosticCode = (typeof DIAGNOSTIC_CODES)[number];

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

  item(at: Located<unknown>, code: DiagnosticCode, message: string, hint: string): void {
    this.found.push({ code, rule: this.rule, itemIndex: at.index, target: this.target, message, hint });
  }

  action(at: Located<unknown>, code: DiagnosticCode, message: string, hint: string): void {
    this.found.push({ code, rule: this.rule, actionIndex: at.index, target: this.target, message, hint });
  }
}
