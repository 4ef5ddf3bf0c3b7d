import { z } from 'zod'
import {
  RoundMeasures,
  type ShrunkSource,
  VariantRound,
  VariantWritten,
} from '../generated/freetumor/runtime/v1/feed.js'
import type {
  AttemptMeasures,
  AttemptSource,
  VariantRound as Round,
  VariantFeed,
  VariantResult,
} from '../pipeline/ports/synthesis.js'
import type { Message, Tensor } from '../transport/frames.js'
import { tumorMessage } from './feed-service.js'
import { unsupportedMessage } from './job-errors.js'

const PACKAGE = 'freetumor.runtime.v1.'
const byKind = z.object({ image: z.string(), label: z.string(), change: z.string(), tumors: z.string() })
const written = z.union([
  z.object({ error: z.object({ kind: z.string(), message: z.string(), hint: z.string() }) }),
  z.object({
    files: byKind.nullable(),
    sha256: byKind.optional(),
    rejected: z
      .array(z.object({ tumor: z.number(), attempt: z.number(), file: z.string(), sha256: z.string() }))
      .optional(),
    host: z.string().optional(),
    changedVoxels: z.number().optional(),
    seconds: z.record(z.string(), z.number()),
    memoryMb: z.object({ loaded: z.number(), peak: z.number() }).optional(),
  }),
])

/**
 * Return the answer to a message of a rank of an offline synthesis; undefined if it needs none.
 * @throws RuntimeCrashError on an unsupported message
 */
export async function answerVariantRank(
  feed: VariantFeed,
  rank: number,
  message: Message,
): Promise<Message | undefined> {
  switch (message.kind) {
    case `${PACKAGE}VariantRequest`:
      return toRound(await feed.begin(rank))
    case `${PACKAGE}RoundMeasures`: {
      const { attempts } = RoundMeasures.decode(message.body)
      return toRound(await feed.judged(rank, attempts.map(toMeasures)))
    }
    case `${PACKAGE}VariantWritten`: {
      const { caseId, variant, json } = VariantWritten.decode(message.body)
      await feed.written(rank, caseId, variant, written.parse(JSON.parse(json)) as VariantResult)
      return undefined
    }
    default:
      throw unsupportedMessage(rank, message.kind)
  }
}

function toRound(round: Round | null): Message {
  const tensors = new Map<string, Tensor>()
  const body = VariantRound.encode(
    round === null
      ? VariantRound.fromPartial({ finished: true })
      : {
          finished: false,
          caseId: round.caseId,
          variant: round.variant,
          subvolumeStart: [...round.subvolumeStart],
          subvolumeShape: [...round.subvolumeShape],
          accepted: [...round.accepted],
          keptRejected: [...round.keptRejected],
          attempts: round.attempts.map(({ tumor, attempt, plan, source }) => ({
            tumor,
            attempt,
            plan: tumorMessage(plan, `shape${tumor}`, tensors),
            source: source === null ? undefined : sourceMessage(source),
          })),
        },
  ).finish()
  return { kind: `${PACKAGE}VariantRound`, body, tensors }
}

function sourceMessage({ voxel, centroid, centre, factor }: AttemptSource): ShrunkSource {
  return { voxel: [...voxel], centroid: [...centroid], centre: [...centre], factor }
}

function toMeasures(one: RoundMeasures['attempts'][number]): AttemptMeasures {
  return {
    tumor: one.tumor,
    syntheticVoxels: Number(one.syntheticVoxels),
    seenVoxels: Number(one.seenVoxels),
    alreadySeenVoxels: Number(one.alreadySeenVoxels),
    contrast: one.contrast,
    more: one.more,
  }
}
