import { mkdir, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { UsageError } from '../errors.js'
import type { Vec3 } from '../volume/volume.js'
import type { StageContext } from './context.js'
import type { CaseError, PredictedCase } from './ports.js'

export interface PredictOptions {
  readonly checkpoint: string
  /** Folder of `.nii` or `.nii.gz` scans. */
  readonly images: string
  readonly out: string
  readonly windows: Pick<RunConfig['evaluation'], 'overlap' | 'blend' | 'windowBatch'>
  readonly device?: RunConfig['runtime']['device'] | undefined
  readonly threadsPerProcess?: number | undefined
  readonly patchMerging?: string | undefined
  /** Where the checkpoint does not say them. */
  readonly windowHu?: readonly [number, number] | undefined
  readonly spacingMm?: Vec3 | undefined
  readonly patchVoxels?: Vec3 | undefined
  /** Output id -> id in the mask. */
  readonly map?: Readonly<Record<string, number>> | undefined
}

export interface Prediction {
  readonly cases: readonly ({ readonly caseId: string } & PredictedCase)[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
}

/** Writes one label map a scan, on the scan's own grid, under the scan's name without `_0000`. */
export async function predictMasks(options: PredictOptions, context: StageContext): Promise<Prediction> {
  const names = await readdir(options.images).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${options.images} cannot be read: ${error.code}`)
  })
  const scans = names.filter((name) => /\.nii(\.gz)?$/.test(name)).sort()
  if (scans.length === 0) throw new UsageError(`${options.images} holds no .nii or .nii.gz file`)
  await mkdir(options.out, { recursive: true })
  const { overlap, blend, windowBatch } = options.windows
  const spec = {
    job: 'predict' as const,
    directory: resolve(options.out),
    checkpoint: resolve(options.checkpoint),
    patchMerging: options.patchMerging ?? null,
    device: options.device ?? 'auto',
    threadsPerProcess: options.threadsPerProcess ?? 1,
    windowHu: options.windowHu ?? null,
    spacingMm: options.spacingMm ?? null,
    patchVoxels: options.patchVoxels ?? null,
    windows: { overlap, blend, windowBatch },
    map: options.map ?? null,
    cases: scans.map((name) => {
      const id = name.replace(/(_0000)?\.nii(\.gz)?$/, '')
      return {
        id,
        image: resolve(join(options.images, name)),
        output: resolve(join(options.out, `${id}.nii.gz`)),
      }
    }),
  }
  const cases: ({ caseId: string } & PredictedCase)[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  for await (const outcome of context.runtime.predict(spec, {
    signal: context.signal,
    logDirectory: context.logDirectory,
  })) {
    if ('error' in outcome) failed.push(outcome)
    else cases.push({ caseId: outcome.caseId, ...outcome.result })
  }
  return { cases, failed }
}
