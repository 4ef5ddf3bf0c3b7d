import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { regionIds } from '../../curation/datasets/organ-masks.js'
import { DataError, UsageError } from '../../errors.js'
import { quoted } from '../../plain-text.js'
import { IGNORED_LABEL, type Region } from '../../volume/labels.js'
import type { StageContext } from '../context.js'
import { convertDicomSeries, type DicomConversion } from '../data/convert.js'
import { readOperatingPoint } from '../operating-point.js'
import { labelOrgansAt, type OrganLabels } from '../organs/run.js'
import type { LabelOrgansOptions } from '../organs/settings.js'
import type { DicomReader } from '../ports/dicom.js'
import type { SegWriter } from '../ports/dicom-seg.js'
import type { ToolRunner } from '../ports/tool.js'
import type { PredictOptions } from '../predict/run.js'
import type { CaseToPrepare } from '../prepare/run.js'
import { hostSources, refuseForbidden, weightsSources } from '../synthesize/provenance.js'
import type { SynthesizeOptions } from '../synthesize/run.js'
import { refuseUnusableWeights } from '../train/weights.js'
import {
  type DicomSegOptions,
  type PredictionWithSegs,
  predictWithSegs,
  type SynthesisWithSegs,
  synthesizeWithSegs,
} from './dicom-seg.js'

/** DICOM series to start from. */
export interface DicomSource {
  /** Folder with DICOM files, also below it. */
  readonly dicom: string
  /** Folder of all steps: `scans`, `organs`, and `masks` or `synthetic`, each as its own command leaves it. */
  readonly out: string
  /** Region of the labels of RTSTRUCT and SEG. Default: that of the organs that they name. */
  readonly region?: Region | undefined
  readonly onConverted?: ((done: number, total: number, id: string) => void) | undefined
}

interface ChainTools {
  readonly reader: DicomReader
  readonly writer: SegWriter
}

/** Results of all steps. */
export type DicomPrediction = PredictionWithSegs & { readonly conversion: DicomConversion }

/**
 * Convert DICOM series, then segment them: `data convert` into OUT/scans, `predict` into OUT/masks. Each step resumes.
 * @throws as the two commands; DataError if no series can be converted
 */
export async function predictDicom(
  source: DicomSource,
  options: Omit<PredictOptions, 'images' | 'out'>,
  seg: DicomSegOptions | null,
  context: StageContext,
  { reader, writer }: ChainTools,
): Promise<DicomPrediction> {
  refuseShard(options.shard)
  // before the first step, which may take long
  if (options.operatingPoint !== undefined) await readOperatingPoint(options.operatingPoint)
  const conversion = await convertFirst(source, 2, context, reader)
  const out = join(source.out, 'masks')
  context.note(`step 2 of 2: segment the scans into ${out}`)
  const images = imagesOf(source)
  const prediction = await predictWithSegs({ ...options, images, out }, seg, context, writer)
  return { ...prediction, conversion }
}

/** Results of all steps. */
export type DicomSynthesis = SynthesisWithSegs & {
  readonly conversion: DicomConversion
  readonly organs: OrganLabels
}

/**
 * Convert DICOM series, label their organs, then paint tumors: `data convert` into OUT/scans, `organs` into OUT/organs,
 * `synthesize` into OUT/synthetic. Each step resumes. A case that fails in one step is left out of the next.
 * @throws as the three commands; DataError if no series can be converted, or no scan labelled
 */
export async function synthesizeDicom(
  source: DicomSource,
  organs: Pick<LabelOrgansOptions, 'with' | 'toolPython' | 'onCase'>,
  options: Omit<SynthesizeOptions, 'hosts' | 'out'>,
  seg: DicomSegOptions | null,
  context: StageContext,
  { reader, writer, tools }: ChainTools & { readonly tools: ToolRunner },
): Promise<DicomSynthesis> {
  refuseShard(options.shard)
  const { region } = options.settings
  // before the first step, which may take long
  refuseForbidden(hostSources([{ dataset: 'hosts' }], options.licence))
  const licences = await refuseUnusableWeights(options.settings, context)
  refuseForbidden(weightsSources({ licences }))
  const conversion = await convertFirst({ ...source, region }, 3, context, reader)
  const labelled = join(source.out, 'organs')
  context.note(`step 2 of 3: label the organs into ${labelled}`)
  const images = imagesOf(source)
  const given = join(source.out, 'scans/labelsTr')
  const labels = await labelOrgansAt(
    { ...organs, images, out: labelled, region, ...(existsSync(given) ? { labels: given } : {}) },
    context,
    tools,
  )
  if (labels.cases.length === 0)
    throw new DataError(`${labelled}: no scan was labelled (${labels.failed[0]?.error.message})`, {
      hint: labels.failed[0]?.error.hint ?? 'choose another tool with --organs-with',
    })
  const out = join(source.out, 'synthetic')
  context.note(`step 3 of 3: paint tumors into ${out}`)
  const hosts = labels.cases.map(({ caseId, output }): CaseToPrepare => {
    const image = join(images, `${caseId}.nii.gz`)
    return {
      ...{ id: caseId, dataset: 'hosts', patient: caseId, region, role: { kind: 'host' }, image },
      ...{ label: output, fold: null, split: 'training' },
      labelMap: { ...regionIds(region), [IGNORED_LABEL]: IGNORED_LABEL },
    }
  })
  const synthesis = await synthesizeWithSegs({ ...options, hosts, out }, seg, context, writer)
  return { ...synthesis, conversion, organs: labels }
}

function imagesOf({ out }: DicomSource): string {
  return join(out, 'scans/imagesTr')
}

async function convertFirst(
  { dicom, out, region, onConverted }: DicomSource,
  steps: number,
  context: StageContext,
  reader: DicomReader,
): Promise<DicomConversion> {
  // SEG files below the source would be read as label objects at the next start
  const inside = relative(resolve(dicom), resolve(out))
  if (!inside.startsWith('..') && inside !== resolve(out))
    throw new UsageError(`--out: lies in the folder of --dicom (found ${out})`, {
      hint: 'name a folder elsewhere',
    })
  const scans = join(out, 'scans')
  context.note(`step 1 of ${steps}: convert the DICOM series into ${scans}`)
  const conversion = await convertDicomSeries(
    dicom,
    { out: scans, region, onCase: onConverted },
    context,
    reader,
  )
  if (conversion.numCases > 0) return conversion
  throw new DataError(`${dicom}: no series was converted (found ${conversion.series.length} series)`, {
    hint: `\`freetumor data convert ${quoted(dicom)} --list\` states the reasons`,
  })
}

function refuseShard(shard: unknown): void {
  if (shard === undefined) return
  throw new UsageError('--shard: cannot be used with --dicom, because each shard would convert all series', {
    hint: 'run `freetumor data convert` once, then the shards with --images',
  })
}
