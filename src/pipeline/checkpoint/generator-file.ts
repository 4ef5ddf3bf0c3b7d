import type { RunConfig } from '../../config/schema.js'

type GeneratorCheckpoint = NonNullable<RunConfig['networks']['generator']>['checkpoint']

/** Return the file of `networks.generator.checkpoint`, in either of its forms. */
export function generatorFile(checkpoint: GeneratorCheckpoint): string | null {
  return typeof checkpoint === 'object' ? (checkpoint?.path ?? null) : checkpoint
}
