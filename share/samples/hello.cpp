// Reads numbers from its input and prints how many there were, their sum and the largest.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <numeric>
#include <vector>

int main()
{
    std::vector<long long> numbers{std::istream_iterator<long long>(std::cin), {}};
    if (numbers.empty()) {
        std::cerr << "no numbers\n";
        return 1;
    }
    std::cout << numbers.size() << " numbers, sum "
              << std::accumulate(numbers.begin(), numbers.end(), 0LL) << ", largest "
              << *std::max_element(numbers.begin(), numbers.end()) << "\n";
}
