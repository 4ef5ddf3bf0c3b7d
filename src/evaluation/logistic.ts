/** Weights of a logistic regression; the intercept is not penalised. */
export interface LogisticFit {
  readonly weights: readonly number[]
  readonly intercept: number
}

const MAX_STEPS = 100
const SMALLEST_STEP = 1e-10

/**
 * Fit a logistic regression with an L2 penalty on standardised features, by Newton's method: the minimum of the sum of
 * the log losses and half the squared weights (scikit-learn's `LogisticRegression()` after `StandardScaler`). The weights
 * are those of the features as given. A constant feature gets the weight 0.
 * @param rows one row of features for each example; both classes occur
 */
export function fitLogistic(rows: readonly (readonly number[])[], labels: readonly boolean[]): LogisticFit {
  const size = rows[0]?.length ?? 0
  const columns = Array.from({ length: size }, (_, at) => rows.map((row) => row[at]!))
  const means = columns.map(meanOf)
  const scales = columns.map((column, at) => {
    const deviation = Math.sqrt(meanOf(column.map((value) => (value - means[at]!) ** 2)))
    return deviation > 1e-12 * Math.max(1, Math.abs(means[at]!)) ? deviation : Number.POSITIVE_INFINITY
  })
  // the last column is the intercept
  const standard = rows.map((row) => [...row.map((value, at) => (value - means[at]!) / scales[at]!), 1])
  let fitted = new Array<number>(size + 1).fill(0)
  let loss = lossOf(standard, labels, fitted)
  for (let step = 0; step < MAX_STEPS; step++) {
    const move = newtonStep(standard, labels, fitted)
    let length = 1
    let next = fitted
    // halve a step that does not lower the loss
    for (let halving = 0; halving < 50; halving++, length /= 2) {
      next = fitted.map((value, at) => value - length * move[at]!)
      const nextLoss = lossOf(standard, labels, next)
      if (nextLoss <= loss) {
        loss = nextLoss
        break
      }
      next = fitted
    }
    const moved = Math.max(...next.map((value, at) => Math.abs(value - fitted[at]!)))
    fitted = next
    if (moved < SMALLEST_STEP) break
  }
  const weights = scales.map((scale, at) => fitted[at]! / scale)
  const intercept = fitted[size]! - weights.reduce((sum, weight, at) => sum + weight * means[at]!, 0)
  return { weights, intercept }
}

/** Return the move of Newton's method: the inverse Hessian times the gradient. */
function newtonStep(
  rows: readonly (readonly number[])[],
  labels: readonly boolean[],
  fitted: readonly number[],
): number[] {
  const size = fitted.length
  const gradient = fitted.map((value, at) => (at < size - 1 ? value : 0))
  const hessian = gradient.map((_, at) =>
    gradient.map((__, other) => (at === other && at < size - 1 ? 1 : 0)),
  )
  for (const [n, row] of rows.entries()) {
    const probability = sigmoid(dot(row, fitted))
    const wrong = probability - (labels[n] ? 1 : 0)
    const weight = probability * (1 - probability)
    for (let at = 0; at < size; at++) {
      gradient[at]! += wrong * row[at]!
      for (let other = 0; other <= at; other++) hessian[at]![other]! += weight * row[at]! * row[other]!
    }
  }
  for (let at = 0; at < size; at++)
    for (let other = 0; other < at; other++) hessian[other]![at] = hessian[at]![other]!
  return solve(hessian, gradient)
}

/** Solve a positive definite system by Gaussian elimination with pivots. */
function solve(matrix: readonly number[][], right: readonly number[]): number[] {
  const size = right.length
  const rows = matrix.map((row, at) => [...row, right[at]!])
  for (let column = 0; column < size; column++) {
    const pivot = rows.reduce(
      (best, row, at) =>
        at >= column && Math.abs(row[column]!) > Math.abs(rows[best]![column]!) ? at : best,
      column,
    )
    const [upper, lower] = [rows[column]!, rows[pivot]!]
    rows[column] = lower
    rows[pivot] = upper
    const scale = rows[column]![column]!
    if (scale === 0) continue
    for (let at = column + 1; at < size; at++) {
      const factor = rows[at]![column]! / scale
      for (let other = column; other <= size; other++) rows[at]![other]! -= factor * rows[column]![other]!
    }
  }
  const found = new Array<number>(size).fill(0)
  for (let at = size - 1; at >= 0; at--) {
    const known = rows[at]!.slice(at + 1, size).reduce((sum, value, n) => sum + value * found[at + 1 + n]!, 0)
    const scale = rows[at]![at]!
    found[at] = scale === 0 ? 0 : (rows[at]![size]! - known) / scale
  }
  return found
}

function lossOf(
  rows: readonly (readonly number[])[],
  labels: readonly boolean[],
  fitted: readonly number[],
): number {
  const penalty = fitted.slice(0, -1).reduce((sum, value) => sum + (value * value) / 2, 0)
  return rows.reduce((sum, row, n) => {
    const odds = labels[n] ? -dot(row, fitted) : dot(row, fitted)
    return sum + Math.max(odds, 0) + Math.log1p(Math.exp(-Math.abs(odds)))
  }, penalty)
}

function sigmoid(odds: number): number {
  return 1 / (1 + Math.exp(-odds))
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, at) => sum + value * b[at]!, 0)
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
