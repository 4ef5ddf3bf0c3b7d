import { DATASETS, type Dataset, findDataset } from './registry.js'

/**
 * Recognise a data set by the name of its list or folder: its exact name, or its name or an alias as whole
 * words (`dataset_kits23_0`, not `MyKits`). Undefined if none or several fit.
 */
export function recognizeDataset(text: string, own: readonly Dataset[] = []): Dataset | undefined {
  const exact = findDataset(text, own)
  if (exact) return exact
  const words = wordsOf(text)
  const fitting = [...own, ...DATASETS]
    .map((dataset) => ({ dataset, length: longestAlias(dataset, words) }))
    .filter(({ length }) => length > 0)
    // for tcia_panc and panc, the longer alias is the better match
    .sort((a, b) => b.length - a.length)
  return fitting.length > 1 && fitting[0]!.length === fitting[1]!.length ? undefined : fitting[0]?.dataset
}

/** Return the data set of a name or an alias, as the flag `--as` takes it; letter case and separators are ignored. */
export function datasetNamed(name: string, own: readonly Dataset[] = []): Dataset | undefined {
  const wanted = wordsOf(name).join('')
  return (
    findDataset(name, own) ??
    [...own, ...DATASETS].find((dataset) =>
      [dataset.name, ...(dataset.aliases ?? [])].some((alias) => wordsOf(alias).join('') === wanted),
    )
  )
}

/** Return the length of the longest name of a data set that occurs as whole words; 0 if none does. */
function longestAlias({ name, aliases = [] }: Dataset, words: readonly string[]): number {
  const text = ` ${words.join(' ')} `
  const found = [name, ...aliases].map((alias) => wordsOf(alias).join(' '))
  return Math.max(...found.map((alias) => (text.includes(` ${alias} `) ? alias.length : 0)))
}

function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
}
