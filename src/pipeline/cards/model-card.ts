import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadConfig } from '../../config/load.js'
import { describedDatasets } from '../../curation/datasets/curate.js'
import { asRecord, parseForeignJson } from '../../foreign-text.js'
import type { LicensedSource } from '../../provenance/licence.js'
import { hashFile } from '../../provenance/scan-facts.js'
import { bestCheckpoint, latestCheckpoint } from '../../training/checkpoints.js'
import { readEvents } from '../../training/event-log.js'
import type { ValidationEvent } from '../../training/events.js'
import { readExit } from '../../training/run-directory.js'
import { summariseRun } from '../../training/run-summary.js'
import { licencesOfRun } from '../checkpoint/licence.js'
import { document, inline, sourceTable, table } from './data-card.js'

/** Figures and facts of a training, all from the files of its run. */
export interface ModelCardFacts {
  readonly name: string
  readonly job: string
  readonly region: string
  readonly seed: number
  readonly version: string
  readonly network: string
  readonly spacingMm: readonly number[]
  readonly windowHu: readonly number[]
  readonly patchVoxels: readonly number[]
  readonly state: string
  readonly step: number
  readonly steps: number | null
  /** Checkpoint that is used: the best one, else the last one. */
  readonly checkpoint: { readonly file: string; readonly sha256: string; readonly bytes: number } | null
  /** Best validation; null without one. */
  readonly validation: Pick<ValidationEvent, 'step' | 'tumorDice' | 'diceByLabel' | 'numCases'> | null
  readonly validations: number
  readonly sources: readonly LicensedSource[]
}

/** Read the facts of a run. */
export async function readModelFacts(run: string): Promise<ModelCardFacts> {
  const config = await loadConfig(join(run, 'config.resolved.yaml'))
  const { name, job, region, seed, prepare, sampling, networks } = config
  const { state, step, steps } = await summariseRun(run, { name, job }, null)
  const validations: ValidationEvent[] = []
  for await (const event of readEvents(join(run, 'events.jsonl')))
    if (event.type === 'validation') validations.push(event)
  const used = (await bestCheckpoint(run)) ?? (await latestCheckpoint(run))
  const file = used === null ? null : join(used, 'model.pt')
  const weights = file === null ? [] : await licencesOfRun(file)
  const exit = await readExit(run)
  const version = asRecord(
    parseForeignJson(await readFile(join(run, 'version.json'), 'utf8').catch(() => '{}'), 'version.json'),
  )
  return {
    ...{ name, job, region, seed },
    version: String(version?.freetumor ?? 'not stated'),
    network: job === 'synthesis' ? 'unet3d' : networks.segmentor.kind,
    ...{ spacingMm: prepare.spacingMm, windowHu: prepare.windowHu, patchVoxels: sampling.patchVoxels },
    ...{ state: exit?.outcome ?? state, step, steps },
    checkpoint: file === null ? null : { file: file.slice(run.length + 1), ...(await hashFile(file)) },
    validation: validations.filter(({ best }) => best).at(-1) ?? validations.at(-1) ?? null,
    validations: validations.length,
    sources: [
      ...describedDatasets(config.data).map(
        ({ name: of, licence, role }) =>
          ({ kind: role === 'host' ? 'hosts' : 'labelled', name: of, licence }) as const,
      ),
      ...weights.map(
        ({ file: of, sha256, licence }) => ({ kind: 'weights', name: of, sha256, licence }) as const,
      ),
    ],
  }
}

/** Return the model card of a run in Markdown. */
export function modelCard(facts: ModelCardFacts): string {
  const { validation, checkpoint } = facts
  return document([
    `# Model card: ${inline(facts.name)}`,
    'This network was trained with freetumor. Every figure is computed from the files of its run.',
    '## Model',
    table(
      ['item', 'value'],
      [
        ['job', facts.job],
        ['network', facts.network],
        ['region', facts.region],
        ['grid', `${facts.spacingMm.join(' x ')} mm, patch ${facts.patchVoxels.join(' x ')} voxels`],
        ['intensity window', `${facts.windowHu.join(' to ')} HU`],
        ['checkpoint', checkpoint === null ? 'none' : inline(checkpoint.file)],
        ['SHA-256', checkpoint?.sha256 ?? 'none'],
        ['size', checkpoint === null ? 'none' : `${(checkpoint.bytes / 1e6).toFixed(1)} MB`],
      ],
    ),
    '## Training',
    table(
      ['item', 'value'],
      [
        ['freetumor', inline(facts.version)],
        ['seed', facts.seed],
        ['state', facts.state],
        ['steps', `${facts.step} of ${facts.steps ?? 'an unknown number'}`],
      ],
    ),
    '## Validation',
    validation === null
      ? 'The run was not validated.'
      : table(
          ['item', 'value'],
          [
            ['validations', facts.validations],
            ['step of the best', validation.step],
            ['cases', validation.numCases],
            ['tumor Dice', validation.tumorDice === null ? 'none' : validation.tumorDice.toFixed(4)],
            ...Object.entries(validation.diceByLabel).map(([id, dice]) => [
              `Dice of label ${id}`,
              dice.toFixed(4),
            ]),
          ],
        ),
    'The checkpoint was selected on these cases, so the figures are optimistic. Evaluate it on a test set: `freetumor evaluate`.',
    '## Sources',
    sourceTable(facts.sources),
    'This network is no medical device. It is meant for research.',
  ])
}
