import { access, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { DataError } from '../errors.js'
import type { Region } from '../volume/labels.js'

export interface ManifestCase {
  readonly id: string
  readonly dataset: string
  readonly patient: string
  readonly image: string
  readonly label: string | null
  readonly labelMap: Readonly<Record<string, number>>
  readonly role: { readonly kind: 'labelled' | 'host' }
  readonly split: 'training' | 'validation' | 'test'
  readonly repeat: number
}

export interface Manifest {
  readonly cases: readonly ManifestCase[]
  readonly missing: readonly { readonly dataset: string; readonly count: number; readonly example: string }[]
}

export async function curate(data: RunConfig['data'], region: Region): Promise<Manifest> {
  const cases: ManifestCase[] = []
  const missing: { dataset: string; count: number; example: string }[] = []
  for (const entry of data.datasets) {
    const folder = resolve(data.root, entry.path ?? entry.name)
    const list = JSON.parse(await readFile(join(folder, 'dataset.json'), 'utf8')) as Record<string, { image: string; label: string }[]>
    const ids = region === 'abdomen' ? 7 : 3
    for (const split of ['training', 'validation'] as const)
      for (const { image, label } of list[split] ?? []) {
        const path = resolve(folder, image)
        await access(path).catch(() => {
          throw new DataError(`${path} does not exist`)
        })
        const id = `${entry.name}/${image.replace(/^.*\//, '').replace(/\.nii(\.gz)?$/, '')}`
        cases.push({
          id,
          dataset: entry.name,
          patient: id,
          image: path,
          label: resolve(dirname(folder), entry.name, label),
          labelMap: Object.fromEntries(Array.from({ length: ids }, (_, at) => [String(at), at])),
          role: { kind: entry.name.includes('host') ? 'host' : 'labelled' },
          split,
          repeat: entry.repeat,
        })
      }
  }
  return { cases, missing }
}
