/**
 * Name of one of several sets of weights in a file (`student`, `teacher`, `ema`, or a key of the file): for the files of
 * generator and baseline together, or for each.
 */
export type WeightSets =
  | string
  | { readonly generator?: string | undefined; readonly baseline?: string | undefined }

/** Return the set of weights of each network; null: the only one of its file. */
export function setsOf(
  sets: WeightSets | undefined,
): Readonly<Record<'generator' | 'baseline', string | null>> {
  const { generator = null, baseline = null } =
    typeof sets === 'string' ? { generator: sets, baseline: sets } : (sets ?? {})
  return { generator, baseline }
}
