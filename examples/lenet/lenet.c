/*
 * A LeNet with batch norm, trained from scratch with norma's forward and backward, with and without the norms; then its norms
 * are folded into the layers before them: the predictions stay, and inference is spared the norms (here a hundredth of its
 * time: the convolutions are plain loops).
 *
 *     lenet [--epochs N] [--batch N] [--rate R] [--size N] [TRAIN-IMAGES TRAIN-LABELS TEST-IMAGES TEST-LABELS]
 *
 * The files are MNIST's or Fashion-MNIST's, unpacked. Without them N images are made up for training, and a quarter as many to
 * test with. (The network: d2l.ai, "Batch Normalization", with ReLU for sigmoid.)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data.h"
#include "layers.h"

enum { LAYERS = 5, NORMS = 4 };

/* What a layer takes and gives, for one item. */
static const struct {
    int in, out, side; /* side 0: linear */
    bool pools;
} shapes[LAYERS] = {{1, 6, 28, true}, {6, 16, 12, true}, {256, 120, 0, false}, {120, 84, 0, false}, {84, CLASSES, 0, false}};

typedef struct network {
    int batch;
    norma_context *context; /* one thread, as the loops of the other layers */
    weights layer[LAYERS];
    norm norm[NORMS];
    float *in[LAYERS + 1]; /* of each layer; the last is what comes out */
    float *sum[NORMS];     /* after each layer, before its norm */
    float *act[NORMS];     /* after its norm and ReLU; without pooling the next layer's input */
    float *grad[2];        /* in turn, as far as the way back has come */
    float *room;
} network;

typedef struct options {
    int epochs, batch, size;
    float rate;
    const char *file[4];
} options;

static int spatial_of(int k)
{
    const int out = shapes[k].side - KERNEL + 1;
    return shapes[k].side ? out * out : 1;
}

static float *zeros(int count)
{
    return calloc((size_t)count, sizeof(float));
}

static bool create(network *net, int batch, bool norms)
{
    unsigned state = 1;
    memset(net, 0, sizeof *net);
    net->batch = batch;
    const norma_context_options one_thread = {.struct_size = sizeof one_thread, .threads = 1};
    bool good = norma_context_create(&net->context, &one_thread) == NORMA_SUCCESS;
    for (int k = 0; good && k < LAYERS; k++) {
        const int outputs = batch * shapes[k].out * spatial_of(k);
        good = weights_create(&net->layer[k], shapes[k].in, shapes[k].out, shapes[k].side, &state);
        if (k < NORMS) {
            good = good && norm_create(&net->norm[k], net->context, norms, batch, shapes[k].out, spatial_of(k));
            net->sum[k] = zeros(outputs);
            net->act[k] = zeros(outputs);
            net->in[k + 1] = shapes[k].pools ? zeros(outputs / 4) : net->act[k];
            good = good && net->sum[k] && net->act[k] && net->in[k + 1];
        }
    }
    net->in[0] = zeros(batch * PIXELS);
    net->in[LAYERS] = zeros(batch * CLASSES);
    net->grad[0] = zeros(batch * 6 * 24 * 24);
    net->grad[1] = zeros(batch * 6 * 24 * 24);
    net->room = zeros(6 * KERNEL * KERNEL * 24 * 24);
    return good && net->in[0] && net->in[LAYERS] && net->grad[0] && net->grad[1] && net->room;
}

static void destroy(network *net)
{
    for (int k = 0; k < LAYERS; k++) {
        weights_destroy(&net->layer[k]);
        if (k < NORMS) {
            norm_destroy(&net->norm[k]);
            free(net->sum[k]);
            free(net->act[k]);
            free(shapes[k].pools ? net->in[k + 1] : NULL);
        }
    }
    norma_context_destroy(net->context);
    free(net->in[0]);
    free(net->in[LAYERS]);
    free(net->grad[0]);
    free(net->grad[1]);
    free(net->room);
}

static bool forward(network *net, bool training)
{
    bool good = true;
    for (int k = 0; good && k < LAYERS; k++) {
        weights_forward(&net->layer[k], net->batch, net->in[k], k < NORMS ? net->sum[k] : net->in[LAYERS], net->room);
        good = k == NORMS || norm_forward(&net->norm[k], training, net->sum[k], net->act[k]);
        if (good && shapes[k].pools) {
            pool_forward(net->batch * shapes[k].out, shapes[k].side - KERNEL + 1, net->act[k], net->in[k + 1]);
        }
    }
    return good;
}

/* From net->grad[0], the gradient of what came out, to all weights'. */
static bool backward(network *net)
{
    float *d = net->grad[0], *other = net->grad[1];
    bool good = true;
    for (int k = LAYERS - 1; good && k >= 0; k--) {
        if (k < NORMS) {
            if (shapes[k].pools) {
                pool_backward(net->batch * shapes[k].out, shapes[k].side - KERNEL + 1, d, other);
                float *before = d;
                d = other, other = before;
            }
            good = norm_backward(&net->norm[k], net->sum[k], net->act[k], d);
        }
        weights_backward(&net->layer[k], net->batch, net->in[k], d, k ? other : NULL, net->room);
        float *before = d;
        d = other, other = before;
    }
    return good;
}

static int largest(const float *scores)
{
    int best = 0;
    for (int c = 1; c < CLASSES; c++) {
        best = scores[c] > scores[best] ? c : best;
    }
    return best;
}

/* The summed cross-entropy of softmax(scores), and the mean's gradient by the scores. */
static double loss_of(const float *scores, const unsigned char *labels, int n, float *gradient)
{
    double loss = 0;
    for (int i = 0; i < n; i++, scores += CLASSES, gradient += CLASSES) {
        double sum = 0;
        const float top = scores[largest(scores)];
        for (int c = 0; c < CLASSES; c++) {
            sum += exp((double)(scores[c] - top));
        }
        for (int c = 0; c < CLASSES; c++) {
            gradient[c] = (float)((exp((double)(scores[c] - top)) / sum - (c == labels[i])) / n);
        }
        loss += log(sum) - (double)(scores[labels[i]] - top);
    }
    return loss;
}

static double now(void)
{
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Classes of all images but those that make no whole batch; how many of them are right. */
static int infer(network *net, const images *set, unsigned char *classes, double *seconds)
{
    int right = 0;
    *seconds = 0;
    for (int first = 0; first + net->batch <= set->count; first += net->batch) {
        memcpy(net->in[0], set->pixels + (size_t)first * PIXELS, (size_t)net->batch * PIXELS * sizeof(float));
        const double start = now();
        if (!forward(net, false)) {
            return -1;
        }
        *seconds += now() - start;
        for (int i = 0; i < net->batch; i++) {
            classes[first + i] = (unsigned char)largest(net->in[LAYERS] + i * CLASSES);
            right += classes[first + i] == set->labels[first + i];
        }
    }
    return right;
}

/* One pass over the images in an order of its own; the mean loss, or a negative number. */
static double train_epoch(network *net, const images *set, int *order, float rate, unsigned *state)
{
    double loss = 0;
    for (int i = set->count - 1; i > 0; i--) {
        *state = *state * 1664525u + 1013904223u;
        const int k = (int)((uint64_t)*state * (uint64_t)(i + 1) >> 32), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
    const int batches = set->count / net->batch;
    unsigned char *labels = malloc((size_t)net->batch);
    bool good = labels != NULL;
    for (int b = 0; good && b < batches; b++) {
        for (int i = 0; i < net->batch; i++) {
            const int from = order[b * net->batch + i];
            memcpy(net->in[0] + i * PIXELS, set->pixels + (size_t)from * PIXELS, PIXELS * sizeof(float));
            labels[i] = set->labels[from];
        }
        good = forward(net, true);
        loss += loss_of(net->in[LAYERS], labels, net->batch, net->grad[0]);
        good = good && backward(net);
        for (int k = 0; k < LAYERS; k++) {
            weights_step(&net->layer[k], rate);
            if (k < NORMS) {
                norm_step(&net->norm[k], rate);
            }
        }
    }
    free(labels);
    return good ? loss / (batches * net->batch) : -1;
}

/* Trains and prints a line per epoch. */
static bool train(network *net, const options *o, const images *training, const images *test, unsigned char *classes)
{
    unsigned state = 7;
    int *order = malloc((size_t)training->count * sizeof *order);
    for (int i = 0; order && i < training->count; i++) {
        order[i] = i;
    }
    bool good = order != NULL;
    for (int epoch = 1; good && epoch <= o->epochs; epoch++) {
        double seconds;
        const double start = now();
        const double loss = train_epoch(net, training, order, o->rate, &state), took = now() - start;
        const int right = infer(net, test, classes, &seconds), whole = test->count / net->batch * net->batch;
        good = loss >= 0 && right >= 0;
        printf("  epoch %d: loss %.4f, test accuracy %.4f, %.2f s\n", epoch, loss, (double)right / whole, took);
    }
    free(order);
    return good;
}

/* Inference with the norms and without them, folded: the same classes, and how long each takes. */
static bool fold(network *net, const images *test, unsigned char *classes)
{
    const int whole = test->count / net->batch * net->batch;
    unsigned char *folded = malloc((size_t)test->count);
    double with, without;
    int differ = 0;
    bool good = folded && infer(net, test, classes, &with) >= 0;
    for (int k = 0; good && k < NORMS; k++) {
        good = norm_fold(&net->norm[k], &net->layer[k]);
    }
    good = good && infer(net, test, folded, &without) >= 0;
    for (int i = 0; good && i < whole; i++) {
        differ += folded[i] != classes[i];
    }
    if (good) {
        printf("folded: %d of %d predictions differ; %.1f us an image with the norms, %.1f without\n", differ, whole,
               1e6 * with / whole, 1e6 * without / whole);
    }
    free(folded);
    return good && differ == 0;
}

static bool run(const options *o, const images *training, const images *test)
{
    unsigned char *classes = malloc((size_t)test->count);
    bool good = classes != NULL;
    for (int norms = 0; good && norms < 2; norms++) {
        network net;
        good = create(&net, o->batch, norms);
        printf("%s batch norm:\n", norms ? "with" : "without");
        good = good && train(&net, o, training, test, classes) && (!norms || fold(&net, test, classes));
        destroy(&net);
    }
    free(classes);
    return good;
}

static bool parse(options *o, int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc && atof(argv[i + 1]) > 0;
        int *number = strcmp(argv[i], "--epochs") == 0  ? &o->epochs
                      : strcmp(argv[i], "--batch") == 0 ? &o->batch
                      : strcmp(argv[i], "--size") == 0  ? &o->size
                                                        : NULL;
        if (strcmp(argv[i], "--rate") == 0 && has_value) {
            o->rate = (float)atof(argv[++i]);
        } else if (number && has_value && atof(argv[i + 1]) < 1e6) {
            *number = atoi(argv[++i]);
        } else if (argv[i][0] != '-' && files < 4) {
            o->file[files++] = argv[i];
        } else {
            return false;
        }
    }
    return o->epochs > 0 && o->batch > 1 && o->size >= 4 * o->batch && (files == 0 || files == 4);
}

int main(int argc, char **argv)
{
    options o = {.epochs = 4, .batch = 64, .size = 4096, .rate = 0.1f};
    if (!parse(&o, argc, argv)) {
        fprintf(stderr, "usage: lenet [--epochs N] [--batch N] [--rate R] [--size N] [TRAIN-IMAGES TRAIN-LABELS TEST-IMAGES "
                        "TEST-LABELS]\n(N images are made up without files: four batches at least)\n");
        return 2;
    }
    images training = {0}, test = {0};
    bool good = o.file[0] ? images_read(&training, o.file[0], o.file[1]) && images_read(&test, o.file[2], o.file[3])
                          : images_make(&training, o.size, 11) && images_make(&test, o.size / 4, 12);
    if (good && (training.count < o.batch || test.count < o.batch)) {
        fprintf(stderr, "lenet: expected at least a batch of %d images to train and to test with\n", o.batch);
        good = false;
    }
    good = good && run(&o, &training, &test);
    images_free(&training);
    images_free(&test);
    return good ? 0 : 1;
}
