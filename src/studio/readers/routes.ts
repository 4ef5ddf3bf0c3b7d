import { basename, join } from 'node:path'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { z } from 'zod'
import { FreetumorError } from '../../errors.js'
import { parseForeignJson } from '../../foreign-text.js'
import { type Reader, type Study, volumeFile } from '../../readers/study.js'
import {
  hasToken,
  isForeignSite,
  type Reachable,
  refuse,
  refuseForeign,
  refuseSite,
  secured,
} from '../guard.js'
import { type PageFiles, servePage } from '../page-files.js'
import { VolumeSender } from '../review/volumes.js'
import type { NewAnswer, ReaderSession, RecordedAnswer, StartedCase } from './messages.js'
import type { ReaderProgress } from './progress.js'

const MAX_BODY = 2048
/** Cases beyond the next one that a page may read ahead. */
const AHEAD = 1

const PAGE: PageFiles = {
  '/': ['readers.html', 'text/html; charset=utf-8'],
  '/readers.js': ['readers.js', 'text/javascript; charset=utf-8'],
  '/readers.css': ['readers.css', 'text/css; charset=utf-8'],
  '/review.css': ['review.css', 'text/css; charset=utf-8'],
  '/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
}

const coordinate = z.number().min(-10_000).max(10_000)
const newAnswer = z.strictObject({
  position: z.int().min(1).max(10_000),
  answer: z.enum(['real', 'synthetic']),
  confidence: z.int().min(1).max(5),
  clickMm: z.tuple([coordinate, coordinate, coordinate]).nullable(),
  seconds: z.number().min(0).max(1e6),
}) satisfies z.ZodType<NewAnswer>

export interface ReadersServed {
  readonly study: Study
  readonly reachable: Reachable
  readonly progress: ReaderProgress
  /** The present readers: one may be deleted meanwhile. */
  readonly readers: () => Promise<readonly Reader[]>
  readonly pageFolder: string
  readonly volumes: string
}

/**
 * Return the routes of a reader study. A request names a case by its place in the order of the reader, which differs between
 * readers. Nothing here knows the truth of a case, so no answer can depend on it.
 */
export function readerRoutes({
  study,
  reachable,
  progress,
  readers,
  pageFolder,
  volumes,
}: ReadersServed): Hono {
  const app = new Hono()
  const sender = new VolumeSender()
  app.use('*', secured, refuseForeign(reachable))
  app.onError((error) =>
    error instanceof FreetumorError
      ? refuse(error.message.replace(/^.*\//, ''), 'report this to the person who runs the study', 500)
      : refuse('the server failed', 'load the page again', 500),
  )
  app.notFound(() => refuse('not found', 'open your link again', 404))
  servePage(app, pageFolder, PAGE)

  /** Answer for the reader of a request. */
  const ofReader =
    (work: (reader: Reader, context: Context) => Promise<Response>) =>
    async (context: Context): Promise<Response> => {
      if (isForeignSite(context)) return refuseSite(context)
      // every token is compared, so the time does not reveal the right one
      const found = (await readers()).filter(({ token }) => hasToken(context, token))
      return found[0] === undefined
        ? refuse('token: missing or wrong', 'open your link again', 401)
        : await work(found[0], context)
    }
  const total = study.cases + study.repeated.length
  const limited = bodyLimit({
    maxSize: MAX_BODY,
    onError: () => refuse(`body: too large (expected at most ${MAX_BODY} bytes)`, 'send one answer', 413),
  })

  app.get(
    '/api/session',
    ofReader(async (reader, context) => {
      const session: ReaderSession = {
        reader: reader.id,
        shape: study.shape,
        spacingMm: study.spacingMm,
        timeLimitSeconds: study.timeLimitSeconds,
        total,
        answered: await progress.answered(reader),
        examples: study.examples,
      }
      return context.json(session)
    }),
  )
  app.get(
    '/api/examples/:number{[0-9]{1,5}}/volume',
    ofReader(async (_, context) => {
      const number = Number(context.req.param('number'))
      if (number < 1 || number > study.examples.length) return noCase()
      return await send(volumeFile('example', number))
    }),
  )
  app.get(
    '/api/cases/:position{[0-9]{1,5}}/volume',
    ofReader(async (reader, context) => {
      const position = Number(context.req.param('position'))
      const next = (await progress.answered(reader)) + 1
      if (position < next || position > Math.min(total, next + AHEAD)) return noCase()
      return await send(volumeFile('case', progress.orderOf(reader)[position - 1]!.case))
    }),
  )
  app.post(
    '/api/cases/:position{[0-9]{1,5}}/start',
    ofReader(async (reader, context) => {
      const position = Number(context.req.param('position'))
      if (position !== (await progress.answered(reader)) + 1 || position > total) return noCase()
      const started: StartedCase = { secondsLeft: await progress.start(reader, position) }
      return context.json(started)
    }),
  )
  app.post(
    '/api/answers',
    limited,
    ofReader(async (reader, context) => {
      if (context.req.header('content-type') !== 'application/json')
        return refuse('Content-Type: not supported (expected application/json)', 'send JSON', 415)
      const given = parsedAnswer(await context.req.text())
      if (given === null)
        return refuse('answer: not recognised', 'send position, answer, confidence, clickMm and seconds', 400)
      if (given.position > total) return noCase()
      const answered = await progress.record(reader, given)
      if (answered === null) return refuse('answer: another case is the next one', 'load the page again', 409)
      const recorded: RecordedAnswer = { answered }
      return context.json(recorded)
    }),
  )

  const send = (file: string): Promise<Response> => sender.answer(volumes, join(volumes, basename(file)))
  return app
}

function parsedAnswer(text: string): NewAnswer | null {
  try {
    return newAnswer.parse(parseForeignJson(text, 'answer', { depth: 4, values: 16 }))
  } catch {
    return null
  }
}

function noCase(): Response {
  return refuse('case: not served now', 'load the page again', 404)
}
