/** What keeps a mirror from being shown. */
export class MirrorFault extends Error {
  override readonly name = 'MirrorFault';
  readonly code = 'MIRROR';
  constructor(
    message: string,
    readonly hint = '',
  ) {
    super(message);
  }
}
