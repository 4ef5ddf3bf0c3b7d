import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../../errors.js'
import { PROVENANCE } from '../../provenance/manifest.js'
import { hashFile } from '../../provenance/scan-facts.js'
import { makeWritableFolder, writeWhole } from '../../whole-file.js'
import { croissant } from './croissant.js'
import { citationPage, dataCard } from './data-card.js'
import { readDatasetFacts } from './dataset-facts.js'
import { modelCard, readModelFacts } from './model-card.js'

/** Written cards. */
export interface Cards {
  readonly kind: 'dataset' | 'run'
  readonly files: readonly string[]
}

/**
 * Write the cards of a synthetic data set (Croissant, data card, citations) or of a run (model card, citations) from its own
 * files.
 * @throws UsageError for a folder that is neither
 */
export async function writeCards(directory: string, out: string): Promise<Cards> {
  const isDataset = existsSync(join(directory, PROVENANCE))
  if (!isDataset && !existsSync(join(directory, 'config.resolved.yaml')))
    throw new UsageError(
      `${directory}: neither a synthetic data set nor a run (expected ${PROVENANCE} or config.resolved.yaml)`,
      { hint: 'repeat `freetumor synthesize` to add provenance.json, or name a run' },
    )
  const texts = isDataset ? await datasetCards(directory) : await runCards(directory)
  await makeWritableFolder(out)
  const files: string[] = []
  for (const [name, text] of Object.entries(texts)) {
    await writeWhole(join(out, name), text)
    files.push(join(out, name))
  }
  return { kind: isDataset ? 'dataset' : 'run', files }
}

async function datasetCards(directory: string): Promise<Readonly<Record<string, string>>> {
  const facts = await readDatasetFacts(directory)
  const sha256: Record<string, string> = {}
  for (const path of [PROVENANCE, ...facts.head.documents.map((one) => one.path)])
    sha256[path] = (await hashFile(join(directory, path))).sha256
  return {
    'croissant.json': `${JSON.stringify(croissant(facts, sha256), null, 2)}\n`,
    'data-card.md': dataCard(facts),
    'citations.md': citationPage(facts.head.sources),
  }
}

async function runCards(directory: string): Promise<Readonly<Record<string, string>>> {
  const facts = await readModelFacts(directory)
  return { 'model-card.md': modelCard(facts), 'citations.md': citationPage(facts.sources) }
}
