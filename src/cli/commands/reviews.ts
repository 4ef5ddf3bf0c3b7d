import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Agreement } from '../../evaluation/agreement.js'
import { overviewOfReviews, type ReviewOverview, reviewFileAt } from '../../pipeline/review-summary.js'
import { counted, oneLine } from '../../plain-text.js'
import { readReviews, reviewsCsv } from '../../quality/reviews.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

/** `freetumor reviews`: show the decisions of reviewers on synthetic tumors. */
export const addReviewsCommand: AddCommand = (program, io) => {
  const reviews = withExample(
    program.command('reviews'),
    'freetumor reviews show synthetic',
    'freetumor reviews csv synthetic/reviews.jsonl > reviews.csv',
  ).description('Show the decisions of reviewers on synthetic tumors, and their agreement')

  ofFile(reviews, 'show', 'Count decisions by reviewer, with the agreement between reviewers')
    .addOption(outputOption())
    .action(async (path: string, { output }: { readonly output: 'text' | 'json' }) => {
      const overview = await overviewOfReviews(resolve(io.cwd, path))
      printResult(io, 'reviews show', output, overview, () => inWords(overview))
    })

  ofFile(reviews, 'csv', 'Print all decisions as CSV').action(async (path: string) => {
    const lines = await readReviews(await reviewFileAt(resolve(io.cwd, path)))
    io.print(reviewsCsv(lines).trimEnd())
  })
}

function ofFile(reviews: Command, name: string, description: string): Command {
  return reviews
    .command(name)
    .description(description)
    .argument('<reviews>', 'a review file, or the folder that holds reviews.jsonl')
}

function inWords({ file, tumors, reviewers, agreement }: ReviewOverview): string[] {
  const { accepted, rejected, undecided } = tumors
  const { pairs, overall } = agreement
  return [
    `${counted(accepted + rejected + undecided, 'tumor')} reviewed in ${file}: ${accepted} accepted, ${rejected} rejected, ${undecided} undecided`,
    ...reviewers.map(
      (one) =>
        `${oneLine(one.reviewer)}: ${one.accepted} accepted, ${one.rejected} rejected, ${one.secondsPerDecision.toFixed(1)} s a decision`,
    ),
    ...pairs.map((pair) => `Cohen's kappa, ${pair.reviewers.map(oneLine).join(' and ')}: ${figure(pair)}`),
    ...(reviewers.length > 2 ? [`Fleiss' kappa, all reviewers: ${figure(overall)}`] : []),
  ]
}

/** Return kappa with its interval, the observed agreement, and the number of tumors. */
function figure({ kappa, ci, observed, n }: Agreement): string {
  const tumors = `n = ${counted(n, 'tumor')}`
  if (observed === null) return `none (${tumors} in common)`
  const interval = ci === null ? '' : ` [${ci.map((end) => end.toFixed(2)).join(', ')}]`
  const value = kappa === null ? 'undefined: all decisions are equal' : `${kappa.toFixed(2)}${interval}`
  return `${value}, ${Math.round(100 * observed)} % equal decisions, ${tumors}`
}
