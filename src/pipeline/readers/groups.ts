import { resolve } from 'node:path'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { DataError } from '../../errors.js'
import { readForeignText } from '../../foreign-text.js'

type GroupOf = (one: Pick<ManifestCase, 'id' | 'parent'>, patient: string) => string

/**
 * Return the group of a case: `none` gives one group for all; a CSV file has lines `name,group`, where the name is that of a
 * case, of its host CT or of its patient, with or without its data set.
 * @throws DataError for a line of another form; the result throws for a case that the file does not name
 */
export async function readGroups(groups: string, cwd: string): Promise<GroupOf> {
  if (groups === 'none') return () => 'not matched'
  const file = resolve(cwd, groups)
  const named = new Map<string, string>()
  const lines = (await readForeignText(file)).split(/\r?\n/)
  for (const [at, line] of lines.entries()) {
    if (line.trim() === '') continue
    const [name, group, ...rest] = line.split(',').map((cell) => cell.trim())
    if (!name || !group || rest.length > 0)
      throw new DataError(`${file}: line ${at + 1}: not a group (expected name,group)`, {
        hint: 'write one case or patient and its group in each line',
      })
    named.set(name, group)
  }
  return ({ id, parent }, patient) => {
    const names = [id, parent, patient].flatMap((name) =>
      name === undefined ? [] : [name, name.slice(name.lastIndexOf('/') + 1)],
    )
    const found = names.map((name) => named.get(name)).find((group) => group !== undefined)
    if (found === undefined)
      throw new DataError(`${file}: no group of case ${id}`, { hint: `add a line ${names[1]},GROUP` })
    return found
  }
}
